"""The tools that there are now: of all connectors, of code mode itself, and the snippets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from facets.codemode.catalog import Catalog
from facets.codemode.errors import ToolFailed
from facets.codemode.operation import Connector, Operation, distinct, identifier
from facets.codemode.own import SNIPPETS, snippet_tool
from facets.codemode.snippets import Snippets

AGAIN = 60.0
"""Seconds after which a connector that could not tell its tools is asked again."""


class Listing:
    """Asks each connector once, and keeps what it says.

    One that fails takes only its own tools along: they are `missing` in the catalogue, and it is
    asked again when a minute is over.
    """

    def __init__(
        self, connectors: Sequence[Connector], own: Sequence[Operation], snippets: Snippets
    ) -> None:
        self._connectors = connectors
        self._own = own
        self._snippets = snippets
        self._catalog: Catalog | None = None
        self._asked = 0.0

    async def catalog(self, *, fresh: bool = False) -> Catalog:
        """All of them; `fresh` asks again."""
        now = asyncio.get_running_loop().time()
        found = self._catalog
        if found is None or fresh or (found.missing and now - self._asked > AGAIN):
            self._asked = now
            found = self._catalog = await self._listed()
        return found

    def renew(self) -> None:
        """Have the snippets as they are now."""
        if self._catalog is not None:
            self._catalog.renew(SNIPPETS, self._tools())

    async def _listed(self) -> Catalog:
        every = [*self._own]
        missing: dict[str, ToolFailed] = {}
        asked = (one.operations() for one in self._connectors)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for connector, answer in zip(self._connectors, answers, strict=True):
            if isinstance(answer, ToolFailed):
                missing[connector.name] = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                every += answer
        return Catalog([*every, *self._tools()], missing)

    def _tools(self) -> list[Operation]:
        found: dict[str, Operation] = {}
        for one in self._snippets.all():
            name = distinct(identifier(one.name), found)
            found[name] = snippet_tool(name, one)
        return [*found.values()]
