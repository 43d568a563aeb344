"""The tools that code mode itself offers to the code: `codemode.search` and so on.

`codemode.step` is not among them: its work is done inside, see `Pass`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from facets.codemode.operation import Operation
from facets.codemode.schema import Schema

if TYPE_CHECKING:
    from facets.codemode.mode import CodeMode


class OwnTools:
    """They are logged and replayed like all others, and need no approval."""

    def __init__(self, mode: CodeMode) -> None:
        self._mode = mode
        self.operations = [
            _own("search", self._search, "Find tools by words.", query="string"),
            _own("describe", self._describe, "Declare one tool, by its path.", path="string"),
            _own("now", self._now, "Seconds since 1970; the same when the code runs again."),
            _own("snippet", self._snippet, "The newest version of a snippet.", name="string"),
        ]

    async def _search(self, arguments: dict[str, Any]) -> Any:
        return await self._mode.search(arguments["query"])

    async def _describe(self, arguments: dict[str, Any]) -> Any:
        return await self._mode.describe(arguments["path"])

    async def _now(self, arguments: dict[str, Any]) -> Any:
        return time.time()

    async def _snippet(self, arguments: dict[str, Any]) -> Any:
        found = self._mode.snippet(arguments["name"])
        return {"name": found.name, "version": found.version, "code": found.code}


def _own(
    tool: str, call: Callable[[dict[str, Any]], Awaitable[Any]], text: str, **kinds: str
) -> Operation:
    properties = {key: {"type": kind} for key, kind in kinds.items()}
    parameters = Schema(
        {
            "type": "object", "properties": properties, "required": [*properties],
            "additionalProperties": False,
        }
    )  # fmt: skip
    return Operation(
        "codemode", tool, call, parameters, description=text, repeatable=True, local=True
    )
