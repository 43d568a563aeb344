"""What a guest said in one pump, message by message; `session` has the table of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from facets.isolates.deaths import panic
from facets.isolates.instance import too_large
from facets.isolates.serving import PENDING
from facets.isolates.timing import when

if TYPE_CHECKING:
    from facets.isolates.calling import Calls
    from facets.isolates.grants import Grants
    from facets.isolates.limits import Limits
    from facets.isolates.meter import Meter
    from facets.isolates.serving import Serving
    from facets.isolates.steps import Steps
    from facets.isolates.timing import Clock

WORDS = 16 * PENDING
"""Messages in one outbox that are neither calls nor answers, of which there are so many as were
asked for: the host hears all of an outbox at once."""


class Hearing:
    """Tells the others what the guest says to them."""

    __slots__ = ("_calls", "_clock", "_grants", "_limits", "_meter", "_serving", "_steps")

    def __init__(
        self,
        calls: Calls,
        serving: Serving,
        steps: Steps,
        grants: Grants,
        clock: Clock,
        limits: Limits,
        meter: Meter | None,
    ) -> None:
        self._calls = calls
        self._serving = serving
        self._steps = steps
        self._grants = grants
        self._clock = clock
        self._limits = limits
        self._meter = meter

    def hear(self, messages: list[list[Any]], size: int) -> bool:
        """Act on the outbox of one pump, of `size` bytes; whether the guest wants to go on at once.

        One of `codec.MALFORMED` is a violation; an IsolateDead kills.
        """
        more, due, words = False, math.inf, 0
        for message in messages:
            tag = message[0]
            if tag == "ok":
                self._calls.answer(message[1], message[2])
            elif tag == "err":
                self._calls.fail(message[1], message[2])
            elif tag == "item":
                self._calls.item(message[1], message[2])
            elif tag == "end":
                self._calls.exhausted(message[1])
            elif tag == "call":
                self._call(message, size)
            elif (words := words + 1) > WORDS:
                raise ValueError("too many words that ask for nothing")
            elif tag == "more":
                self._serving.more(message[1], message[2])
            elif tag == "cancel":
                self._serving.cancel(message[1])
            elif tag == "drop":
                self._grants.drop(message[1])
            elif tag == "sleep":
                due = when(message[1])
            elif tag == "again":
                more = True
            else:
                raise self._last_words(message)
        self._clock.arm(due)
        return more

    def _call(self, message: list[Any], size: int) -> None:
        self._steps.count()
        if self._meter is not None:
            self._meter.calls += 1
        self._serving.call(message, size)

    def _last_words(self, message: list[Any]) -> Exception:
        if message[0] == "long":
            return too_large(int(message[1]), self._limits.output)
        if message[0] == "panic":
            return panic(message, self._limits)
        return ValueError(f"unknown tag {message[0]!r}")
