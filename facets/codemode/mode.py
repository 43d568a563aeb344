"""Code mode: a model gets two tools, and writes code that uses all others."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from facets.capabilities.marked import capability
from facets.codemode import offered
from facets.codemode.catalog import Catalog
from facets.codemode.errors import NoSuchExecution, RollbackFailed, ToolFailed
from facets.codemode.ledger import CallRecord, Ledger, Snippet, Status, pack, unpack
from facets.codemode.operation import Connector
from facets.codemode.own import OwnTools
from facets.codemode.passes import Pass
from facets.codemode.policy import Allow, ApprovalRule
from facets.codemode.stubs import Declared, Language, declare, signature
from facets.codemode.tokens import cut, tokens
from facets.isolates.entrypoint import Entrypoint
from facets.isolates.limits import Limits

if TYPE_CHECKING:
    from facets import Actor
    from facets.agents.tool import Tool

_INSIDE = Path(__file__).with_name("inside.py").read_text()
_FRAME = re.compile(r'^  File "(?!main\.py").*\n(?:    .*\n)*', re.MULTILINE)
"""What a traceback says of one line that is not of `inside.py`."""
SEARCH = 1_500
"""Tokens of what one search gives."""


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


class CodeMode:
    """Tools by the thousand behind two: `search` finds them, `execute` runs code that uses them.

    Belongs to one actor and keeps there, in its database, each execution, and each call with
    its arguments before the tool runs and its outcome after. Code runs in an isolate of its own,
    under `limits`, that can reach the tools of `connectors` and nothing else; it calls them as
    `await connector.tool(...)`, several at a time with `asyncio.gather`.

    `rules` decide about each call, the first that it is like; where none is, it is asked for.
    Without rules everything runs. A call that is asked for pauses the execution, which then takes
    nothing but its rows, for as long as it may be; `approve` and `reject` run the code again from
    its start, with what was done from the log. A process that dies in an execution leaves it
    `running`: `resume` goes on with it, and a call that may or may not have run is asked for,
    unless its tool may run again (`repeatable`, such as a GET).

    Use it from methods of that actor, on its loop. `most` is how many tokens of a result a model is
    given; what is more is written to the actor's files below `/codemode`.
    """

    def __init__(
        self,
        actor: Actor,
        connectors: Sequence[Connector],
        *,
        rules: Sequence[ApprovalRule] = (Allow(),),
        limits: Limits | None = None,
        most: int = 6_000,
    ) -> None:
        names = [one.name for one in connectors]
        twice = {name for name in names if names.count(name) > 1 or name in ("codemode", "input")}
        if twice:
            raise ValueError(f"two connectors cannot be called {sorted(twice)[0]!r}")
        self._actor = actor
        self._connectors = tuple(connectors)
        self._rules = tuple(rules)
        self._limits = limits or Limits(wall=120.0)
        self._most = most
        self._ledger = Ledger(actor)
        self._own = OwnTools(self)
        self._catalog: Catalog | None = None
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    # -- the two tools --------------------------------------------------------------------------

    async def search(self, query: str, limit: int = 10) -> str:
        """Tools that fit a query, one line each, best first: to be shown to a model."""
        found = (await self.catalog()).search(query, limit)
        if not found:
            names = ", ".join(one.name for one in self._connectors)
            return f"nothing fits {query!r}; there are tools of {names}"
        lines = []
        for one in found:
            text = " ".join(one.operation.description.split())[:160]
            line = signature(one.operation, Declared("python", room=0))
            lines.append(cut(line, 200) + (f"  # {text}" if text else ""))
        return cut("\n".join(lines), SEARCH)

    async def execute(self, code: str, input: Any = None) -> Execution:  # noqa: A002
        """Run code, with `input` as a variable, until it ends or waits for an approval.

        Its result is what it returns, or the value of its last line. Never raises for what the
        code does: the execution says `error`, and why.
        """
        number = self._ledger.start(code, input)
        return await self._run(number)

    def told(self, execution: Execution) -> str:
        """An execution in words for a model, its result cut to `most` tokens and kept in full."""
        parts = [f"status: {execution.status}"]
        if execution.printed:
            parts.append(f"printed:\n{cut(execution.printed, self._most // 4)}")
        if execution.error:
            parts.append(f"error:\n{cut(execution.error, self._most // 4)}")
        for call in execution.pending:
            why = "may have run when the process died" if call.unsure else "waits for approval"
            shown = cut(json.dumps(call.arguments, default=str), 200)
            parts.append(f"call {call.id} {why}: {call.path} {shown}")
        if execution.status == "completed":
            parts.append(f"result:\n{self._cut_result(execution)}")
        return "\n".join(parts)

    def _cut_result(self, execution: Execution) -> str:
        text = json.dumps(execution.result, default=str, ensure_ascii=False)
        if tokens(text) <= self._most:
            return text
        path = f"/codemode/{execution.id}.json"
        self._actor.fs.mkdir("/codemode", exist_ok=True)
        self._actor.fs.write_text(path, text)
        return cut(text, self._most, f", all in the file {path}")

    async def describe(self, path: str, language: Language = "python") -> str:
        """The declaration of a tool: records, arguments, what it gives. UnknownTool."""
        return declare((await self.catalog()).get(path), language)

    async def catalog(self, *, fresh: bool = False) -> Catalog:
        """The tools of all connectors; `fresh` asks them again."""
        if self._catalog is None or fresh:
            listed = await asyncio.gather(*(one.operations() for one in self._connectors))
            every = [*self._own.operations, *(one for some in listed for one in some)]
            self._catalog = Catalog(every)
        return self._catalog

    def tools(self) -> list[Tool]:
        """Both, as tools of an agent: `execute` gives what `told` says."""
        from facets.agents.tool import Tool

        async def execute(code: str) -> str:
            return self.told(await self.execute(code))

        calls: dict[str, Callable[..., Awaitable[Any]]] = {
            "search": self.search,
            "execute": execute,
        }
        return [
            Tool(name, text, schema, calls[name], seconds=None)
            for name, (text, schema) in offered.TOOLS.items()
        ]

    # -- executions -----------------------------------------------------------------------------

    def execution(self, number: int) -> Execution:
        """One execution as it stands. NoSuchExecution."""
        row = self._ledger.execution(number)
        waits = [one for one in self._ledger.calls(number) if one.state == "pending"]
        live = row.status in ("running", "paused")
        return Execution(
            row.id, row.status, unpack(row.result), row.error, row.printed,
            tuple(waits) if live else (), row.passes,
        )  # fmt: skip

    def executions(self, status: Status | None = None, limit: int = 50) -> list[Execution]:
        """The newest, newest first."""
        return [self.execution(number) for number in self._ledger.executions(status, limit)]

    def calls(self, number: int) -> list[CallRecord]:
        """The log of an execution."""
        return self._ledger.calls(number)

    def pending(self) -> list[CallRecord]:
        """The calls of all executions that wait for approval, oldest first."""
        return self._ledger.pending()

    async def approve(self, call: int) -> Execution:
        """Let a call run, and go on with its execution; nothing if it does not wait for that."""
        return await self._decided(call, "approved")

    async def reject(self, call: int, reason: str = "") -> Execution:
        """The same with `CallRejected` raised inside: the code may do something else then."""
        return await self._decided(call, "rejected", reason)

    async def resume(self, number: int) -> Execution:
        """Go on with an execution that a process died in; nothing if there is no such need."""
        return await self._run(number)

    async def rollback(self, number: int) -> list[CallRecord]:
        """Revert what an execution did, last call first; the calls that nothing can revert.

        Each is told its arguments and its result, and is marked before and after: reverted once,
        unless the process dies in it, and then again by the next `rollback`. RollbackFailed where
        one raises; the earlier calls are as they were then.
        """
        catalog = await self.catalog()
        left: list[CallRecord] = []
        async with self._lock(number):
            self._ledger.execution(number)
            for call in self._ledger.revertible(number):
                revert = getattr(catalog.operations.get(call.path), "revert", None)
                if revert is None:
                    left += [call] if not call.path.startswith("codemode.") else []
                    continue
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
            self._ledger.end(number, "rolled_back")
        return left

    def delete(self, number: int) -> None:
        """Forget an execution and its log. NoSuchExecution."""
        self._ledger.execution(number)
        self._ledger.forget(number)

    async def expire(self, seconds: float) -> list[int]:
        """Reject all that has waited for longer than this; the executions that went on."""
        old = self._ledger.waiting_since(time.time() - seconds)
        for call in old:
            await self.reject(call.id, "nobody answered in time")
        return list(dict.fromkeys(call.execution for call in old))

    async def close(self) -> None:
        """Give up the connections of all connectors."""
        for one in self._connectors:
            await one.close()

    # -- snippets -------------------------------------------------------------------------------

    def save(self, name: str, code: str, description: str = "") -> Snippet:
        """Keep code under a name; each change is a version, and all are kept."""
        return self._ledger.save(name, code, description)

    def snippet(self, name: str, version: int | None = None) -> Snippet:
        """One version of a snippet, or the newest. NoSuchExecution."""
        found = self._ledger.snippet(name, version)
        if found is None:
            raise NoSuchExecution(f"there is no snippet {name!r}", id=name)
        return found

    def snippets(self) -> list[Snippet]:
        """The newest version of each."""
        return self._ledger.snippets()

    async def run(self, name: str, input: Any = None, version: int | None = None) -> Execution:  # noqa: A002
        """Execute a snippet with this input. NoSuchExecution."""
        return await self.execute(self.snippet(name, version).code, input)

    def unsave(self, name: str) -> bool:
        """Delete all versions of a snippet; whether there were any."""
        return self._ledger.unsave(name)

    # -- runs -----------------------------------------------------------------------------------

    async def _decided(self, number: int, state: Any, reason: str = "") -> Execution:
        call = self._ledger.call(number)
        if call.state == "pending":
            self._ledger.decide(call, state, reason)
        return await self._run(call.execution)

    def _lock(self, number: int) -> asyncio.Lock:
        return self._locks.setdefault(number, asyncio.Lock())

    async def _run(self, number: int) -> Execution:
        async with self._lock(number):
            row = self._ledger.execution(number)
            if row.status in ("running", "paused"):
                await self._pass(number, row.code, unpack(row.input))
        return self.execution(number)

    async def _pass(self, number: int, code: str, value: Any) -> None:
        catalog = await self.catalog()
        self._ledger.again(number)
        run = Pass(number, self._ledger, catalog, self._rules)
        isolate = self._actor.isolates.load(
            _INSIDE, limits=self._limits, deterministic=f"codemode {number}", recorded=False
        )
        entry = Entrypoint(isolate, "main", None, isolate.limits)
        names = [one.name for one in self._connectors]
        title = f"execution-{number}.py"
        going = asyncio.ensure_future(entry(capability(run.use), code, names, value, title))
        try:
            await asyncio.wait({going, run.stopped}, return_when=asyncio.FIRST_COMPLETED)
            self._end(number, run, going, "\n".join(entry.output))
        finally:
            going.cancel()
            entry.close()
            await asyncio.gather(going, return_exceptions=True)

    def _end(self, number: int, run: Pass, going: asyncio.Future[Any], printed: str) -> None:
        if not going.done():
            status, error = run.stopped.result()
            self._finish(number, status, None, error, printed)
            return
        raised = going.exception()
        error = run.divergence()
        run.abandon()
        if raised is not None or error is not None:
            self._finish(number, "error", None, error or raised, printed)
            return
        try:
            pack(going.result(), "the code")
        except ToolFailed as too_large:
            self._finish(number, "error", None, too_large, printed)
        else:
            self._finish(number, "completed", going.result(), None, printed)

    def _finish(
        self, number: int, status: Any, result: Any, error: BaseException | None, printed: str
    ) -> None:
        text = "" if error is None else explain(error)
        self._ledger.end(number, status, result=result, error=text, printed=printed)


def explain(error: BaseException) -> str:
    """An error for who wrote the code: what it was, and where in the code."""
    where = "".join(_FRAME.findall(getattr(error, "traceback", "")))
    return f"{type(error).__name__}: {error}" + (f"\n{where.rstrip()}" if where else "")
