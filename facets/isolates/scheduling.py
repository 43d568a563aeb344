"""`self.timers` inside an isolate: the operations of its guest's steps, and what is current."""

from __future__ import annotations

from dataclasses import astuple, fields
from typing import TYPE_CHECKING, Any

from actors.delivery import finish
from actors.ticks import SECOND, Backoff
from actors.timers import Timer, Timers

if TYPE_CHECKING:
    from actors.activation import Activation
    from facets.isolates.own import Own

ADDING = frozenset({"after", "at", "every", "cron"})
OTHERS = frozenset({"cancel", "list", "dead", "revive", "forget"})


class IsolateTimers:
    """The timers of one isolate's actor."""

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        self._timers = Timers(activation)

    def offer(self, own: Own) -> None:
        """Let the guest ask what is delivered: that belongs to its call, not to its step."""
        own.offer("timers.current", self.current)

    def operate(self, verb: str, args: list[Any], options: dict[str, Any]) -> Any:
        """One operation of the open step. `done` is what the last step of a delivery says: of
        another timer it is as good as a cancellation, and all of them are the guest's own."""
        if verb == "done":
            (number,) = args
            now = round(self._activation.node.host.clock.now() * SECOND)
            schedule = self._activation.database.schedule
            entry = schedule.find(number)
            if entry is not None:
                finish(schedule, entry, now)
            return None
        if verb in ADDING:
            when, method, given, named = args
            return self._add(verb, when, method, given, named, **options)
        if verb not in OTHERS:
            raise PermissionError(f"timers have no {verb!r}")
        found = getattr(self._timers, verb)(*args)
        return [_row(one) for one in found] if isinstance(found, list) else found

    def _add(
        self,
        verb: str,
        when: Any,
        method: str,
        args: list[Any],
        kwargs: dict[str, Any],
        name: str | None = None,
        retry: dict[str, Any] | None = None,
        tz: str | None = None,
    ) -> int:
        options: dict[str, Any] = {"name": name}
        if retry is not None:
            options["retry"] = Backoff(**retry)
        if tz is not None and verb == "cron":
            options["tz"] = tz
        if not options.keys().isdisjoint(kwargs):
            raise TypeError("an argument of the method has the name of an option: pass it in order")
        return getattr(self._timers, verb)(when, method, *args, **options, **kwargs)  # type: ignore[no-any-return]

    def current(self) -> list[Any] | None:
        """The delivery that the guest's call belongs to."""
        found = self._timers.current
        return None if found is None else list(astuple(found))


def _row(timer: Timer) -> list[Any]:
    values = [getattr(timer, one.name) for one in fields(timer)]
    return [list(astuple(one)) if isinstance(one, Backoff) else one for one in values]
