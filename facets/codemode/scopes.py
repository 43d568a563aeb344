"""What one isolate is handed: its calls, to the tools that it may use, and no other way out.

Code has all tools of its `CodeMode`. A snippet that it runs has an isolate of its own, and of these
tools those of the connectors that the snippet names; a snippet that a snippet runs, of those again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from facets.codemode.catalog import Catalog
from facets.codemode.errors import CallDenied
from facets.codemode.ledger import pack
from facets.codemode.own import RUN, SNIPPETS, TELLING, may
from facets.codemode.passes import Pass
from facets.codemode.running import Running
from facets.codemode.script import Script
from facets.codemode.stubs import Language
from facets.isolates.limits import Limits

if TYPE_CHECKING:
    from facets import Actor

DEEP = 8
"""Snippets that run within each other."""


class Runner:
    """Runs code for one execution: what all of its isolates share."""

    def __init__(
        self,
        actor: Actor,
        catalog: Catalog,
        run: Pass,
        *,
        connectors: Sequence[str],
        limits: Limits,
        seed: str,
    ) -> None:
        self.catalog = catalog
        self.run = run
        self._actor = actor
        self._connectors = (*connectors, SNIPPETS)
        self._limits = limits
        self._seed = seed

    def begin(self, script: Script, value: Any, scope: Scope) -> Running:
        """An isolate with this code in it."""
        return Running(
            self._actor, script, value, scope.use, limits=self._limits,
            connectors=self._connectors,
            seed=f"{self._seed}{scope.name}",
        )  # fmt: skip


class Scope:
    """The calls of one isolate. `name` tells it from the others of the execution."""

    def __init__(
        self,
        runner: Runner,
        language: Language,
        name: str = "",
        connectors: frozenset[str] | None = None,
        deep: int = 0,
    ) -> None:
        self._runner = runner
        self._language = language
        self.name = name
        self._connectors = connectors
        """Those that it may use; None is all."""
        self._deep = deep
        self._silent = False
        self.printed: list[str] = []
        """By snippets, each when it ended."""

    async def use(self, path: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """What the isolate is handed: one call of a tool."""
        run = self._runner.run
        self.begun()
        if path == "codemode.step":
            return run.step(str(args[0]), self.name)
        if path == "codemode.keep":
            return run.keep(args[0], args[1])
        operation = self._runner.catalog.get(str(path))
        if not may(self._connectors, operation.connector):
            raise CallDenied(f"this code may not use {operation.connector}", path=path)
        arguments = operation.bind(args, kwargs)
        if path in TELLING:
            arguments.setdefault("language", self._language)
        if path == RUN:
            return await self._snippet(arguments["name"], arguments.get("input"))
        if operation.connector == SNIPPETS:
            return await self._snippet(operation.location, arguments.get("input"))
        return await run.use(operation, arguments, self.name)

    def begins(self) -> None:
        """Its code is on its way to a first call, and a pause waits for that."""
        self._silent = True
        self._runner.run.busy += 1

    def begun(self) -> None:
        """It has made a call, or ended."""
        if self._silent:
            self._silent = False
            self._runner.run.busy -= 1

    async def _snippet(self, name: str, value: Any) -> Any:
        """What a snippet returns. Its calls are logged, and it is not: it runs again with them."""
        if self._deep >= DEEP:
            raise RecursionError(f"more than {DEEP} snippets run within each other")
        pack(value, RUN)
        run, catalog = self._runner.run, self._runner.catalog
        found = await run.use(catalog.get("codemode.snippet"), {"name": name}, self.name)
        hashed, which = run.key(RUN, {"name": name, "input": value}, self.name)
        allowed = narrowed(self._connectors, found["connectors"])
        script = Script(found["code"], found["language"], f"{name}@{found['version']}")
        inner = Scope(
            self._runner, script.language, f" {hashed[:16]}#{which}", allowed, self._deep + 1
        )
        running = self._runner.begin(script, value, inner)
        inner.begins()
        try:
            return await running.going
        finally:
            inner.begun()
            self.printed += [one for one in (*inner.printed, running.printed) if one]
            running.close()


def narrowed(have: frozenset[str] | None, named: list[str] | None) -> frozenset[str] | None:
    """The connectors of both; None is all."""
    if named is None or have is None:
        return have if named is None else frozenset(named)
    return have & {*named}
