"""The tools that code mode itself offers to the code: `codemode.search` and so on, and snippets.

`codemode.step` is not among them: its work is done inside, see `Pass`. A snippet runs in an isolate
of its own, see `Scope`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any

from facets.codemode.operation import Operation
from facets.codemode.schema import Schema

if TYPE_CHECKING:
    from facets.codemode.mode import CodeMode
    from facets.codemode.snippets import Snippet

RUN = "codemode.run"
SNIPPETS = "snippets"
"""The connector whose tools the snippets are."""
TELLING = ("codemode.search", "codemode.describe")
"""They speak the language of the code that calls them."""
_LANGUAGE = ("language",)


def may(connectors: Collection[str] | None, name: str) -> bool:
    """Whether code that is limited to some connectors may use this one; None is all."""
    return name in ("codemode", SNIPPETS) or connectors is None or name in connectors


class OwnTools:
    """They are logged and replayed like all others, and need no approval."""

    def __init__(self, mode: CodeMode) -> None:
        self._mode = mode
        self.operations = [
            _own("search", self._search, "Find tools by words.", _LANGUAGE, query="string"),
            _own(
                "describe",
                self._describe,
                "Declare one tool, by its path.",
                _LANGUAGE,
                path="string",
            ),
            _own("now", self._now, "Seconds since 1970; the same when the code runs again."),
            _own("result", self._result, "What an execution returned.", number="integer"),
            _own("snippet", self._snippet, "The newest version of a snippet.", name="string"),
            _own("run", _not_here, "What a snippet returns.", ("input",), name="string"),
        ]

    async def _search(self, arguments: dict[str, Any]) -> Any:
        return await self._mode.search(arguments["query"], language=arguments.get("language"))

    async def _describe(self, arguments: dict[str, Any]) -> Any:
        return await self._mode.describe(arguments["path"], arguments.get("language"))

    async def _now(self, arguments: dict[str, Any]) -> Any:
        return time.time()

    async def _result(self, arguments: dict[str, Any]) -> Any:
        return self._mode.execution(arguments["number"]).result

    async def _snippet(self, arguments: dict[str, Any]) -> Any:
        found = self._mode.snippet(arguments["name"])
        return {
            "name": found.name, "version": found.version, "code": found.code,
            "language": found.language,
            "connectors": None if found.connectors is None else [*found.connectors],
        }  # fmt: skip


def snippet_tool(name: str, snippet: Snippet) -> Operation:
    """A snippet as a tool that code calls by this name."""
    return Operation(
        SNIPPETS, name, _not_here, _parameters(("input",)), description=snippet.description,
        location=snippet.name, repeatable=True,
    )  # fmt: skip


def _own(
    tool: str,
    call: Callable[[dict[str, Any]], Awaitable[Any]],
    text: str,
    anything: tuple[str, ...] = (),
    **kinds: str,
) -> Operation:
    return Operation(
        "codemode", tool, call, _parameters(anything, **kinds), description=text, repeatable=True,
        local=True,
    )  # fmt: skip


def _parameters(anything: tuple[str, ...] = (), **kinds: str) -> Schema:
    """Of some types, which must be given, and of anything at all, which need not."""
    properties: dict[str, Any] = {key: {"type": kind} for key, kind in kinds.items()}
    properties |= {key: {} for key in anything}
    return Schema(
        {
            "type": "object", "properties": properties, "required": [*kinds],
            "additionalProperties": False,
        }
    )  # fmt: skip


async def _not_here(arguments: dict[str, Any]) -> Any:
    raise NotImplementedError("a snippet runs in an isolate of its own")
