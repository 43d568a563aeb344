"""`self.timers`: what an actor wants to be called for later.

A timer is a row of the actor's own database (`storage.schedule`), written in the step that
schedules it: a step that is undone schedules nothing, and restore, clone, export, fork and move
carry timers along with everything else. The host's scheduler (`actors.scheduler`) delivers them.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

import msgspec

from actors.call import CURRENT, Call
from actors.errors import BadTimer, TimerLimit
from actors.starts import keep_starts
from actors.ticks import LATEST, SECOND, Backoff, Cron, Every, backoff_of, keep, rule_of
from storage.errors import NotStorable
from storage.schedule import Entry

if TYPE_CHECKING:
    from actors.activation import Activation
    from storage.schedule import Schedule

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_WHAT = ("method", "arguments", "rule", "retry")
Method = str | Callable[..., Any]
"""An async method of the actor: its name, or `self.method`."""


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer as `self.timers.list()` and `dead()` show it."""

    id: int
    name: str | None
    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    due: float | None
    """Seconds since 1970 of its next delivery; None if it is dead."""
    scheduled_for: float
    """The moment that delivery is for: earlier than `due` while it is being retried."""
    every: float | None = None
    """Seconds between ticks."""
    cron: str | None = None
    tz: str | None = None
    retry: Backoff = field(default_factory=Backoff)
    attempt: int = 0
    """Deliveries for that moment that failed."""
    error: str | None = None
    """Why the newest one did."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The delivery that runs now, as `self.timers.current` shows it."""

    id: str
    """Of this delivery: the same in every attempt, and no other's. Effects outside the actor can
    be deduplicated by it."""
    timer: int
    """Id of the timer."""
    name: str | None
    scheduled_for: float
    """The moment it is for, in seconds since 1970."""
    attempt: int
    """1 for the first. One that the process did not survive counts if it had been due already when
    that process opened the directory: all but the first of a row of them."""


class TimerCall(Call):
    """A call that delivers a timer."""

    __slots__ = ("delivery",)

    def __init__(self, activation: Activation, method: str, delivery: Delivery) -> None:
        super().__init__(activation, method, None)
        self.delivery = delivery


class Timers:
    """Methods of this actor, to be called later, whether it is awake then or not.

    `method` is `self.method` or its name: any public or `_private` async method, looked up when
    it is scheduled and again when it is delivered. Arguments are what `kv` keeps: plain data. All
    of `after`, `at`, `every` and `cron` return the timer's id, and take `name`: a named timer
    takes the place of the one of that name; but `every` and `cron` that are there already, the
    same in all, go on as they are, so that `on_start` may schedule them. `retry` says what follows
    when the method raises. Arguments of the method with those names have to be positional.

    **Delivered at least once.** A timer is gone, or moved on to its next tick, in the very commit
    of the last step of its method: a method of one step happens exactly once as far as this
    actor's data are concerned, a longer one repeats at most the steps before a crash. Its own id
    (`current.id`) is the same in every attempt. A method that raises has undone its last step,
    like any; the timer is tried again with growing waits (`Backoff`) and then dead: kept, with the
    error, until `revive` or `forget`. A dead tick of `every` or `cron` stands for itself: the
    timer goes on with the next.

    Deliveries of one timer never overlap; different timers may run at the same time, like any
    calls. Ticks that were missed, because nobody ran the host or the one before took long, become
    one. A delivery is a call from outside: the rules of steps, gates and transactions hold.

    Changes belong to the current step. Everything here returns at once. Over a limit:
    `TimerLimit` (see `TimerLimits`); for what cannot be scheduled: `BadTimer`, `NoSuchMethod`,
    `NotCallable`, `NotStorable`.
    """

    __slots__ = ("_activation",)

    def __init__(self, activation: Activation) -> None:
        self._activation = activation

    def after(
        self,
        seconds: float,
        method: Method,
        *args: Any,
        name: str | None = None,
        retry: Backoff | None = None,
        **kwargs: Any,
    ) -> int:
        """Once, in so many seconds; soon if that is 0."""
        due = self._now() + _micro(seconds)
        return self._add(due, method, args, kwargs, name, retry)

    def at(
        self,
        when: datetime | float,
        method: Method,
        *args: Any,
        name: str | None = None,
        retry: Backoff | None = None,
        **kwargs: Any,
    ) -> int:
        """Once, at a moment: a datetime with a time zone, or seconds since 1970. Soon if past."""
        return self._add(_moment(when), method, args, kwargs, name, retry)

    def every(
        self,
        seconds: float,
        method: Method,
        *args: Any,
        name: str | None = None,
        retry: Backoff | None = None,
        **kwargs: Any,
    ) -> int:
        """Again and again: in so many seconds for the first time, then at that distance."""
        least = self._activation.node.host.options.timers.interval
        if not seconds >= least:
            raise TimerLimit(
                f"every({seconds!r}) is too often; {least} s is the least",
                limit="interval",
                most=least,
            )
        rule = Every(_micro(seconds))
        return self._add(self._now() + rule.every, method, args, kwargs, name, retry, rule)

    def cron(
        self,
        expression: str,
        method: Method,
        *args: Any,
        tz: str = "UTC",
        name: str | None = None,
        retry: Backoff | None = None,
        **kwargs: Any,
    ) -> int:
        """Again and again, when a cron expression says: `"*/5 * * * *"`, `"0 9 * * mon-fri"`.

        `tz` is the name of a time zone, whose clock changes are followed."""
        rule, now = Cron(str(expression), str(tz)), self._now()
        rule.check(now)
        return self._add(rule.after(now, now), method, args, kwargs, name, retry, rule)

    def cancel(self, which: int | str) -> bool:
        """Forget a timer by its id or its name; whether there was one. A delivery that runs goes
        on, and is the last."""
        if type(which) not in (int, str):
            raise BadTimer(f"a timer has an id or a name, not {which!r}")
        return self._schedule.remove(which)

    def list(self) -> builtins.list[Timer]:
        """Those that wait or are being delivered, the next one first."""
        return [_shown(one) for one in self._schedule.pending()]

    def dead(self) -> builtins.list[Timer]:
        """Those that failed in every attempt, the oldest first."""
        return [_shown(one) for one in self._schedule.dead()]

    def revive(self, number: int) -> bool:
        """Deliver a dead timer soon, with all its attempts; whether there is one of this id."""
        found = self._schedule.find(number)
        if found is None or found.due is not None:
            return False
        self._room()
        self._schedule.put(found._replace(due=self._now(), attempt=0))
        return True

    def forget(self, number: int) -> bool:
        """Forget a dead timer; whether there was one of this id."""
        found = self._schedule.find(number)
        return found is not None and found.due is None and self._schedule.remove(number)

    @property
    def current(self) -> Delivery | None:
        """The delivery that the running code belongs to; None in any other call."""
        call = CURRENT.get()
        while call is not None and call.activation is self._activation:
            if isinstance(call, TimerCall):
                return call.delivery
            call = call.parent
        return None

    # -- scheduling -----------------------------------------------------------------------

    @property
    def _schedule(self) -> Schedule:
        return self._activation.database.schedule

    def _now(self) -> int:
        return round(self._activation.node.host.clock.now() * SECOND)

    def _add(
        self,
        due: int,
        method: Method,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None,
        retry: Backoff | None,
        rule: Every | Cron | None = None,
    ) -> int:
        target = method if isinstance(method, str) else getattr(method, "__name__", "")
        self._activation.body.check_timed(target)
        if due > LATEST:
            raise BadTimer("that is after the year 9999")
        arguments = self._packed(target, args, kwargs)
        entry = Entry(0, _name(name), due, due, target, arguments, keep(rule), keep(retry), 0, None)
        going_on = self._going_on(entry)
        if going_on is not None:
            return going_on
        self._room(name)
        number = self._schedule.add(entry)
        keep_starts(self._activation)
        return number

    def _going_on(self, entry: Entry) -> int | None:
        """The id of a timer that ticks just like this one under its name."""
        if entry.name is None or entry.rule is None:
            return None
        found = self._schedule.named(entry.name)
        if found is None or found.due is None:
            return None
        same = all(getattr(found, one) == getattr(entry, one) for one in _WHAT)
        return found.id if same else None

    def _packed(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        try:
            packed = _encode([args, kwargs])
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise NotStorable(
                f"the arguments of {method!r} cannot be kept: {error}",
                hint="pass plain data: numbers, text, bytes, lists, dicts",
                key=method,
            ) from error
        most = self._activation.node.host.options.timers.size
        if len(packed) > most:
            raise TimerLimit(
                f"the arguments of {method!r} have {len(packed)} bytes; {most} is the most",
                hint="keep them in kv or sql, and pass the key",
                limit="size",
                most=most,
            )
        return packed

    def _room(self, name: str | None = None) -> None:
        most = self._activation.node.host.options.timers.count
        schedule = self._schedule
        if schedule.count() >= most and (name is None or schedule.named(name) is None):
            raise TimerLimit(
                f"{self._activation.id} has {most} timers, which is the most",
                hint="cancel some, or let one timer look for what is due",
                limit="count",
                most=most,
            )


def arguments_of(entry: Entry) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the method of a timer is called with."""
    args, kwargs = _decode(entry.arguments)
    return tuple(args), kwargs


def delivery_of(uid: int, entry: Entry) -> Delivery:
    """What is said of a delivery of this timer of the actor with this uid."""
    number = f"{uid}.{entry.id}.{entry.planned}"
    return Delivery(number, entry.id, entry.name, entry.planned / SECOND, attempt_of(entry))


def attempt_of(entry: Entry) -> int:
    """Which attempt its next delivery is, or the one under way that was counted ahead."""
    return -entry.attempt if entry.attempt < 0 else entry.attempt + 1


def _shown(entry: Entry) -> Timer:
    args, kwargs = arguments_of(entry)
    rule = rule_of(entry.rule)
    return Timer(
        id=entry.id,
        name=entry.name,
        method=entry.method,
        args=args,
        kwargs=kwargs,
        due=None if entry.due is None else entry.due / SECOND,
        scheduled_for=entry.planned / SECOND,
        every=rule.every / SECOND if isinstance(rule, Every) else None,
        cron=rule.cron if isinstance(rule, Cron) else None,
        tz=rule.tz if isinstance(rule, Cron) else None,
        retry=backoff_of(entry.retry),
        attempt=attempt_of(entry) - 1,
        error=entry.error,
    )


def _micro(seconds: float) -> int:
    if not isinstance(seconds, (int, float)) or not isfinite(seconds) or seconds < 0:
        raise BadTimer(f"{seconds!r} is no number of seconds from now")
    return round(seconds * SECOND)


def _moment(when: datetime | float) -> int:
    if isinstance(when, datetime):
        if when.tzinfo is None:
            raise BadTimer(
                f"{when} is another moment on every machine",
                hint="give the datetime a time zone: datetime.now(UTC)",
            )
        when = when.timestamp()
    return _micro(when)


def _name(name: str | None) -> str | None:
    from actors.names import check_name

    return None if name is None else check_name(name)
