"""One isolate in which code runs that uses tools."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from facets.capabilities.marked import capability
from facets.codemode.script import Script
from facets.isolates.entrypoint import Entrypoint
from facets.isolates.limits import Limits

if TYPE_CHECKING:
    from facets import Actor

Use = Callable[[str, list[Any], dict[str, Any]], Awaitable[Any]]
"""One call of a tool, by its path; all that the code can reach."""


class Running:
    """Code that runs in an isolate of its own, from its first line; `close` ends it.

    `going` ends with what the code returns. Its clock and random numbers are those of `seed`.
    """

    def __init__(
        self,
        actor: Actor,
        script: Script,
        value: Any,
        use: Use,
        *,
        connectors: Sequence[str],
        limits: Limits,
        seed: str,
    ) -> None:
        self._script = script
        isolate = actor.isolates.load(
            **script.modules(), limits=limits, deterministic=seed, recorded=False
        )
        self._entry = Entrypoint(isolate, "main", None, isolate.limits)
        self._ends = isolate.owner.on_end
        self._ends.append(self._entry.kill)
        self.going = asyncio.ensure_future(self._result(value, use, list(connectors)))
        self.going.add_done_callback(_looked_at)

    @property
    def printed(self) -> str:
        """What it has printed so far."""
        return "\n".join(self._entry.output)

    async def _result(self, value: Any, use: Use, connectors: list[str]) -> Any:
        code = await self._script.text()
        title = f"{self._script.title}.py"
        return await self._entry(capability(use), code, connectors, value, title)

    def close(self) -> None:
        """Drop the isolate, and what is going on in it. It waits for nothing: who runs the code
        may itself be dropped, in a process that dies."""
        self.going.cancel()
        self._entry.close()
        if self._entry.kill in self._ends:
            self._ends.remove(self._entry.kill)


def _looked_at(going: asyncio.Future[Any]) -> None:
    """Nobody waits for the error of code that was dropped."""
    if not going.cancelled():
        going.exception()
