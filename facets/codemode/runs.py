"""Executions: code that is run until it ends or waits, run again, and undone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from facets.codemode.catalog import Catalog
from facets.codemode.errors import RollbackFailed, ToolFailed
from facets.codemode.ledger import CallRecord, Ledger, Status, pack, unpack
from facets.codemode.passes import Pass
from facets.codemode.policy import ApprovalRule
from facets.codemode.running import Running
from facets.codemode.scopes import Runner, Scope
from facets.codemode.script import Script
from facets.isolates.limits import Limits

if TYPE_CHECKING:
    from facets import Actor, Row


@dataclass(frozen=True, slots=True)
class Execution:
    """How an execution of code stands."""

    id: int
    status: Status
    result: Any
    """What the code returned, if it completed."""
    error: str
    """What it did not handle, with its own lines."""
    printed: str
    pending: tuple[CallRecord, ...]
    """The calls that wait for `approve` or `reject`, by their `id`."""
    passes: int
    """How often the code was run from its start."""


class Runs:
    """Runs the executions of one ledger, each at most once at a time."""

    def __init__(
        self,
        actor: Actor,
        ledger: Ledger,
        catalog: Callable[[], Awaitable[Catalog]],
        *,
        connectors: Sequence[str],
        rules: Sequence[ApprovalRule],
        limits: Limits,
    ) -> None:
        self._actor = actor
        self._ledger = ledger
        self._catalog = catalog
        self._connectors = connectors
        self._rules = tuple(rules)
        self._limits = limits
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    def get(self, number: int) -> Execution:
        """One execution as it stands. NoSuchExecution."""
        row = self._ledger.execution(number)
        waits = [one for one in self._ledger.calls(number) if one.state == "pending"]
        live = row.status in ("running", "paused")
        return Execution(
            row.id, row.status, unpack(row.result), row.error, row.printed,
            tuple(waits) if live else (), row.passes,
        )  # fmt: skip

    async def go_on(self, number: int) -> Execution:
        """Run it until it ends or waits; nothing if it has ended."""
        async with self._lock(number):
            row = self._ledger.execution(number)
            if row.status in ("running", "paused"):
                await self._pass(number, row)
        return self.get(number)

    async def rollback(self, number: int) -> list[CallRecord]:
        """See `CodeMode.rollback`."""
        catalog = await self._catalog()
        left: list[CallRecord] = []
        async with self._lock(number):
            self._ledger.execution(number)
            for call in self._ledger.revertible(number):
                revert = getattr(catalog.operations.get(call.path), "revert", None)
                if revert is not None:
                    await self._revert(call, revert)
                elif not call.path.startswith("codemode."):
                    left.append(call)
            self._ledger.end(number, "rolled_back")
        return left

    async def _revert(self, call: CallRecord, revert: Callable[..., Awaitable[None]]) -> None:
        self._ledger.state(call, "reverting")
        try:
            await self._ledger.durable()
            await revert(call.arguments, call.result)
        except Exception as error:
            raise RollbackFailed(
                f"call {call.id} of {call.path} could not be reverted: {error}",
                call=call.id, path=call.path,
            ) from error  # fmt: skip
        self._ledger.state(call, "reverted")

    def _lock(self, number: int) -> asyncio.Lock:
        return self._locks.setdefault(number, asyncio.Lock())

    async def _pass(self, number: int, row: Row) -> None:
        catalog = await self._catalog()
        self._ledger.again(number)
        run = Pass(number, self._ledger, self._rules)
        runner = Runner(
            self._actor, catalog, run, connectors=self._connectors, limits=self._limits,
            seed=f"codemode {number}",
        )  # fmt: skip
        named = unpack(row.connectors)
        scope = Scope(runner, row.language, "", None if named is None else frozenset(named))
        script = Script(row.code, row.language, f"execution-{number}")
        running = runner.begin(script, unpack(row.input), scope)
        try:
            waits = {running.going, run.stopped}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            printed = "\n".join(filter(None, (*scope.printed, running.printed)))
            self._end(number, run, script, running, printed)
        finally:
            running.close()

    def _end(self, number: int, run: Pass, script: Script, running: Running, printed: str) -> None:
        status: Status
        result: Any = None
        error: BaseException | None
        if not running.going.done():
            status, error = run.stopped.result()
        else:
            error = run.divergence() or running.going.exception()
            run.abandon()
            try:
                if error is None:
                    pack(running.going.result(), "the code")
                    result = running.going.result()
            except ToolFailed as too_large:
                error = too_large
            status = "completed" if error is None else "error"
        told = "" if error is None else script.explain(error)
        self._ledger.end(number, status, result=result, error=told, printed=printed)
