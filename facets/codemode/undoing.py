"""A tool that only changes its actor's database: what one that raises wrote is undone alone."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from facets import Actor


@final
class Undoing:
    """Awaits a coroutine, up to its first wait in a part of the step that is undone if it raises.

    The rest of the step, the log of the call, stays. What the coroutine wrote before it waited is
    committed by then, as in any method.
    """

    def __init__(self, actor: Actor, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._actor = actor
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        result: list[Any] = []
        with self._actor.transaction():
            try:
                waits = self._coroutine.send(None)
            except StopIteration as ended:  # which is no error, and must not undo anything
                result = [ended.value]
        if result:
            return result[0]
        return (yield from _rest(self._coroutine, waits))


def _rest(coroutine: Coroutine[Any, Any, Any], waits: Any) -> Generator[Any, Any, Any]:
    """As `await` does it."""
    step: Callable[[], Any]
    while True:
        try:
            sent = yield waits
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:
            step = partial(coroutine.throw, error)
        else:
            step = partial(coroutine.send, sent)
        try:
            waits = step()
        except StopIteration as ended:
            return ended.value
