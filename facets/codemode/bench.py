"""Code mode as an actor of its own, for a script, a notebook or a server that has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from facets import Actor
from facets.codemode.ledger import CallRecord
from facets.codemode.mode import CodeMode
from facets.codemode.operation import Connector
from facets.codemode.policy import Allow, ApprovalRule
from facets.codemode.runs import Execution
from facets.codemode.stubs import Language
from facets.isolates.limits import Limits


class Workbench(Actor):
    """The methods of `CodeMode` that others call; `workbench` makes it for some connectors.

    What it gives is for a program; `told` is the same for a model.
    """

    async def search(self, query: str) -> str:
        """Find tools by words. One line for each: how code calls it, what it gives."""
        return await self.code.search(query)

    async def describe(self, path: str) -> str:
        """The declaration of a tool in full."""
        return await self.code.describe(path)

    async def execute(
        self,
        code: str,
        input: Any = None,  # noqa: A002
        language: Language | None = None,
        key: str | None = None,
    ) -> Execution:
        """Run code that calls tools, until it ends or waits for an approval; where there is an
        execution with this `key`, go on with that one."""
        return await self.code.execute(code, input, language=language, key=key)

    async def told(self, number: int) -> str:
        """An execution in words for a model."""
        return self.code.told(self.code.execution(number))

    async def pending(self) -> list[CallRecord]:
        """The calls that wait for approval, oldest first."""
        return self.code.pending()

    async def approve(self, *calls: int) -> Execution:
        """Let calls of one execution run, and go on with it."""
        return await self.code.approve(*calls)

    async def reject(self, *calls: int, reason: str = "") -> Execution:
        """Go on without them."""
        return await self.code.reject(*calls, reason=reason)

    async def resume(self, number: int) -> Execution:
        """Go on with an execution that a process died in."""
        return await self.code.resume(number)

    code: CodeMode
    """All of it, for a subclass."""


def workbench(
    connectors: Sequence[Connector],
    *,
    rules: Sequence[ApprovalRule] = (Allow(),),
    language: Language = "python",
    limits: Limits | None = None,
    kind: str = "Workbench",
) -> type[Workbench]:
    """A class of actors with code mode over these connectors.

        async with facets.LocalRuntime("state/") as runtime:
            bench = runtime.get(workbench([connector]), "mine")
            print(await bench.execute("await shop.orders_list()"))

    Each actor of it keeps its own executions, as durably as its runtime. Two that differ and are
    used on one runtime need names of their own as `kind`.
    """

    class Bench(Workbench, kind=kind):
        async def on_start(self) -> None:
            self.code = CodeMode(self, connectors, rules=rules, language=language, limits=limits)

        async def on_stop(self) -> None:
            await self.code.close()

    return Bench
