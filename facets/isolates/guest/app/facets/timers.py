"""`self.timers`: methods to be called later; each operation is one crossing to the host."""

from datetime import datetime
from typing import Any, NamedTuple

from facets.errors import BadTimer, NotCallable
from isolate.storage import operate


class Backoff(NamedTuple):
    """What becomes of a timer whose method raised: see the guide."""

    first: float = 2.0
    factor: float = 2.0
    most: float = 3600.0
    attempts: int = 10
    jitter: float = 0.1


class Timer(NamedTuple):
    """A timer as `list()` and `dead()` show it; times are seconds since 1970."""

    id: int
    name: str
    method: str
    args: tuple
    kwargs: dict
    due: float
    scheduled_for: float
    every: float
    cron: str
    tz: str
    retry: Any
    attempt: int
    error: str


class Delivery(NamedTuple):
    """The delivery that runs now, as `current` shows it."""

    id: str
    timer: int
    name: str
    scheduled_for: float
    attempt: int


class Timers:
    """The same as outside; `method` is `self.method` or its name."""

    __slots__ = ("_actor",)

    def __init__(self, actor):
        self._actor = actor

    def after(self, seconds, method, *args, name=None, retry=None, **kwargs):
        """Once, in so many seconds."""
        return self._add("after", seconds, method, args, kwargs, name, retry)

    def at(self, when, method, *args, name=None, retry=None, **kwargs):
        """Once, at a moment: a datetime with a time zone, or seconds since 1970."""
        if isinstance(when, datetime):
            if when.tzinfo is None:
                raise BadTimer("a datetime without a time zone is no moment")
            when = when.timestamp()
        return self._add("at", when, method, args, kwargs, name, retry)

    def every(self, seconds, method, *args, name=None, retry=None, **kwargs):
        """Again and again, at that distance."""
        return self._add("every", seconds, method, args, kwargs, name, retry)

    def cron(self, expression, method, *args, tz="UTC", name=None, retry=None, **kwargs):
        """Again and again, when a cron expression says, in a time zone."""
        return self._add("cron", expression, method, args, kwargs, name, retry, tz=tz)

    def cancel(self, which):
        """Forget a timer by its id or its name; whether there was one."""
        return _timers("cancel", which)

    def list(self):
        """Those that wait or are being delivered, the next one first."""
        return _shown(_timers("list"))

    def dead(self):
        """Those that failed in every attempt."""
        return _shown(_timers("dead"))

    def revive(self, number):
        """Deliver a dead timer soon; whether there is one of this id."""
        return _timers("revive", number)

    def forget(self, number):
        """Forget a dead timer; whether there was one of this id."""
        return _timers("forget", number)

    @property
    def current(self):
        """The delivery that the running code belongs to; None in any other call."""
        found = operate("own", ["timers.current", [], {}])
        return None if found is None else Delivery(*found)

    def _add(self, verb, when, method, args, kwargs, name, retry, **more):
        if not isinstance(method, str):
            method = getattr(method, "__name__", "")
        if method[:1] == "_" and not is_private(type(self._actor), method):
            raise NotCallable(f"{method!r} is no async method of this class")
        if retry is not None:
            more["retry"] = retry._asdict()
        return operate("timers", [verb, [when, method, list(args), kwargs], {"name": name, **more}])


def is_private(cls, name):
    """Whether a class has a private async method of this name, which timers may call."""
    from facets.actor import Actor
    from isolate.target import kind_of

    own = name[:2] != "__" and not hasattr(Actor, name)
    return own and kind_of(getattr(cls, name, None)) == "call"


def _timers(verb, *args):
    return operate("timers", [verb, list(args), {}])


def _shown(rows):
    found = []
    for row in rows:
        timer = Timer(*row)
        found.append(timer._replace(args=tuple(timer.args), retry=Backoff(*timer.retry)))
    return found
