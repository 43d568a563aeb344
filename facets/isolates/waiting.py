"""What a guest's synchronous code waits for: one call to the runtime's own services at a time.

The guest's fiber is parked meanwhile, on no thread, and the step that it was in has been
committed. Other calls into the isolate wait with it. The call runs as any other of the guest's
does (`serving`); only its answer goes back another way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from facets.isolates import eager
from facets.isolates.codec import Blob, lower, pack
from facets.isolates.errors import NotTransferable
from facets.isolates.grants import OWN, Grants
from facets.isolates.services import Services
from facets.isolates.serving import Asked
from facets.isolates.steps import describe


class Waiting:
    """The call that the parked guest waits for, if it does."""

    __slots__ = (
        "_answer",
        "_asked",
        "_call",
        "_dead",
        "_grants",
        "_output",
        "_resume",
        "_services",
    )

    def __init__(
        self, grants: Grants, services: Services, output: int, resume: Callable[[bytes], None]
    ) -> None:
        self._grants = grants
        self._services = services
        self._output = output
        self._resume = resume
        """Told the answer, unless `begin` returned it."""
        self._answer: bytes | None = None
        self._call = 0
        self._asked: Asked | None = None
        self._dead = False

    def begin(
        self, call: int, cause: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes | None:
        """Begin what the guest asks for in its call `call`; the answer, if it is there at once."""
        asked = Asked(0, self._grants.entry(OWN), name, args, kwargs)
        asked.cause = cause
        self._call, self._answer = call, None
        task = eager.start(self._run(asked), asyncio.get_running_loop())
        if self._answer is not None:
            return self._answer
        asked.task, self._asked = task, asked
        task.add_done_callback(self._done)
        return None

    async def _run(self, asked: Asked) -> None:
        try:
            self._answer = self._packed(await self._services.use(asked))
        except asyncio.CancelledError:
            self._answer = _failure(_Cancelled())
        except Exception as error:
            self._answer = _failure(error)

    def _packed(self, value: object) -> bytes:
        blob = Blob()
        lowered = lower(value, blob, "result")
        if blob.size > self._output:
            raise NotTransferable(
                f"{blob.size} bytes are too much for one answer; the limit is {self._output}",
                hint="ask for less, or for a stream",
                path="result",
            )
        return pack([True, lowered], blob)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._asked = None
        if not task.cancelled():
            task.exception()  # seen: what is left is not the guest's
        if not self._dead:
            self._resume(self._answer or _failure(_Cancelled()))

    def cancel(self, call: int) -> bool:
        """This call was told to stop: whether that is what the guest waits in."""
        if self._asked is None or self._call != call:
            return False
        self._asked.stop()
        return True

    def end(self) -> None:
        """The isolate is gone."""
        self._dead = True
        if self._asked is not None:
            self._asked.stop()


class _Cancelled(Exception):
    """What the guest raises as its own CancelledError."""


def _failure(error: Exception) -> bytes:
    said = describe(error)
    if isinstance(error, _Cancelled):
        said["type"] = "CancelledError"
    blob = Blob()
    return pack([False, lower(said, blob)], blob)
