"""Code mode: a model gets two tools, and writes code that uses all others."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from facets.codemode import offered
from facets.codemode.catalog import Catalog
from facets.codemode.examples import check
from facets.codemode.ledger import CallRecord, Ledger, State, Status, unpack
from facets.codemode.listing import Listing
from facets.codemode.operation import Connector
from facets.codemode.own import SNIPPETS, OwnTools
from facets.codemode.policy import Allow, ApprovalRule
from facets.codemode.runs import Execution, Runs
from facets.codemode.snippets import Answer, Example, Snippet, Snippets
from facets.codemode.stubs import Language, declare
from facets.codemode.telling import found_text, told
from facets.isolates.limits import Limits

if TYPE_CHECKING:
    from facets import Actor
    from facets.agents.tool import Tool


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

    Use it from methods of that actor, on its loop. `language` is that of code and declarations
    where nothing else is said; TypeScript needs the extra `js`. `most` is how many tokens of a
    result a model is given; all of it is written to the actor's files below `/codemode`, and code
    gets it by `codemode.result(id)`. Of executions that have ended the newest `keep` are kept.
    """

    def __init__(
        self,
        actor: Actor,
        connectors: Sequence[Connector],
        *,
        rules: Sequence[ApprovalRule] = (Allow(),),
        language: Language = "python",
        limits: Limits | None = None,
        most: int = 6_000,
        keep: int = 1_000,
    ) -> None:
        names = [one.name for one in connectors]
        taken = ("codemode", "input", SNIPPETS)
        twice = {name for name in names if names.count(name) > 1 or name in taken}
        if twice:
            raise ValueError(f"two connectors cannot be called {sorted(twice)[0]!r}")
        self._actor = actor
        self._connectors = tuple(connectors)
        self._limits = limits or Limits(wall=120.0)
        self._language: Language = language
        self._most = most
        self._ledger = Ledger(actor, keep)
        self._snippets = Snippets(self._ledger)
        self._listing = Listing(self._connectors, OwnTools(self).operations, self._snippets)
        self._names = names
        self._runs = Runs(
            actor, self._ledger, self.catalog, connectors=names, rules=rules, limits=self._limits
        )

    # -- the two tools --------------------------------------------------------------------------

    async def search(self, query: str, limit: int = 10, language: Language | None = None) -> str:
        """Tools that fit a query, one line each, best first: to be shown to a model."""
        names = [*self._names, SNIPPETS]
        return found_text(await self.catalog(), query, limit, names, language or self._language)

    async def execute(
        self,
        code: str,
        input: Any = None,  # noqa: A002
        *,
        language: Language | None = None,
        connectors: Sequence[str] | None = None,
        key: str | None = None,
    ) -> Execution:
        """Run code, with `input` as a variable, until it ends or waits for an approval.

        Its result is what it returns, or the value of its last expression. `connectors` names
        those whose tools it may use; None is all. Never raises for what the code does: the
        execution says `error`, and why. Where there is an execution with this `key`, it is gone on
        with and none begins: for who may ask again after a crash.
        """
        language = language or self._language
        return await self._runs.go_on(self._ledger.start(code, input, language, connectors, key))

    def told(self, execution: Execution) -> str:
        """An execution in words for a model, its result cut to `most` tokens and kept in full."""
        return told(self._actor, execution, self._most)

    async def describe(self, path: str, language: Language | None = None) -> str:
        """The declaration of a tool: records, arguments, what it gives. UnknownTool."""
        return declare((await self.catalog()).get(path), language or self._language)

    async def catalog(self, *, fresh: bool = False) -> Catalog:
        """The tools of all connectors; `fresh` asks them again.

        A connector that raises ToolFailed takes its own tools along, and is asked again later.
        """
        return await self._listing.catalog(fresh=fresh)

    def tools(self) -> list[Tool]:
        """Both, as tools of an agent: `execute` gives what `told` says.

        A turn that a crash cut off goes on with the execution that it had begun.
        """
        from facets.agents.running import current
        from facets.agents.tool import Tool

        async def execute(code: str, language: Language | None = None) -> str:
            run = current()
            key = None if run is None else f"{run.id} {code}"
            return self.told(await self.execute(code, language=language, key=key))

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
        return self._runs.get(number)

    def executions(self, status: Status | None = None, limit: int = 50) -> list[Execution]:
        """The newest, newest first."""
        return [self.execution(number) for number in self._ledger.executions(status, limit)]

    def calls(self, number: int) -> list[CallRecord]:
        """The log of an execution."""
        return self._ledger.calls(number)

    def pending(self) -> list[CallRecord]:
        """The calls of all executions that wait for approval, oldest first."""
        return self._ledger.pending()

    async def approve(self, *calls: int) -> Execution:
        """Let calls of one execution run, and go on with it; nothing if none waits for that."""
        return await self._decided(calls, "approved")

    async def reject(self, *calls: int, reason: str = "") -> Execution:
        """The same with `CallRejected` raised inside: the code may do something else then."""
        return await self._decided(calls, "rejected", reason)

    async def resume(self, number: int) -> Execution:
        """Go on with an execution that a process died in; nothing if there is no such need."""
        return await self._runs.go_on(number)

    async def rollback(self, number: int) -> list[CallRecord]:
        """Revert what an execution did, last call first; the calls that nothing can revert.

        Each is told its arguments and its result, and is marked before and after: reverted once,
        unless the process dies in it, and then again by the next `rollback`. RollbackFailed where
        one raises; the earlier calls are as they were then.
        """
        return await self._runs.rollback(number)

    def delete(self, number: int) -> None:
        """Forget an execution and its log. NoSuchExecution."""
        self._ledger.execution(number)
        self._ledger.forget(number)

    async def expire(self, seconds: float) -> list[int]:
        """Reject all that has waited for longer than this; the executions that went on."""
        old: dict[int, list[int]] = {}
        for call in self._ledger.waiting_since(time.time() - seconds):
            old.setdefault(call.execution, []).append(call.id)
        for calls in old.values():
            await self.reject(*calls, reason="nobody answered in time")
        return [*old]

    async def close(self) -> None:
        """Give up the connections of all connectors."""
        for one in self._connectors:
            await one.close()

    # -- snippets -------------------------------------------------------------------------------

    async def save(
        self,
        name: str,
        code: str,
        description: str = "",
        *,
        language: Language | None = None,
        connectors: Sequence[str] | None = None,
        examples: Sequence[Example] | None = None,
    ) -> Snippet:
        """Keep code under a name, for code to call as a tool: `await snippets.name(input)`.

        Each change is a version, and all are kept. It becomes the newest once it has passed its
        `examples`, in an isolate where their answers stand in the place of tools; SnippetRefused
        if it fails one, and the version before stays. None is the examples of that version.

        Whoever runs it, it may use the tools of `connectors`. None is those of that version, and
        for a first one all that whoever runs it may use.
        """
        before = self._snippets.find(name)
        if examples is None:
            examples = before.examples if before else ()
        if connectors is None:
            connectors = before.connectors if before else None
        made = Snippet(
            name, before.version + 1 if before else 1, code, description,
            language or self._language, None if connectors is None else tuple(connectors),
            tuple(examples),
        )  # fmt: skip
        await check(self._actor, await self.catalog(), made, self._names, self._limits)
        saved = self._snippets.add(made)
        self._listing.renew()
        return saved

    def example(self, number: int) -> Example:
        """A completed execution, of code that runs no snippets, as an example: the same input,
        answers and result."""
        row = self._ledger.execution(number)
        answers = [
            Answer(one.path, one.result, one.arguments, one.error)
            for one in self._ledger.calls(number)
            if one.state in ("applied", "error") and one.path != "codemode.step"
        ]
        return Example(unpack(row.input), unpack(row.result), tuple(answers))

    def snippet(self, name: str, version: int | None = None) -> Snippet:
        """One version of a snippet, or the newest. NoSuchExecution."""
        return self._snippets.get(name, version)

    def snippets(self) -> list[Snippet]:
        """The newest version of each."""
        return self._snippets.all()

    async def run(self, name: str, input: Any = None, version: int | None = None) -> Execution:  # noqa: A002
        """Execute a snippet with this input. NoSuchExecution."""
        found = self._snippets.get(name, version)
        return await self.execute(
            found.code, input, language=found.language, connectors=found.connectors
        )

    def unsave(self, name: str) -> bool:
        """Delete all versions of a snippet; whether there were any."""
        found = self._snippets.delete(name)
        self._listing.renew()
        return found

    async def _decided(self, numbers: Sequence[int], state: State, reason: str = "") -> Execution:
        calls = [self._ledger.call(number) for number in numbers]
        if len({call.execution for call in calls}) != 1:
            raise ValueError("name the calls of one execution")
        for call in calls:
            if call.state == "pending":
                self._ledger.decide(call, state, reason)
        return await self._runs.go_on(calls[0].execution)
