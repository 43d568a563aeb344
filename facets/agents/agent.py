"""The Agent that users subclass."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from uuid import uuid4

import msgspec

from facets.actor import Actor
from facets.agents import prompts
from facets.agents.approvals import Approval, Approvals, Decision, decide, expire
from facets.agents.blocks import ContextBlock
from facets.agents.blocks import check as check_blocks
from facets.agents.calling import current
from facets.agents.children import Agents, P, SubAgent, caller, parent_of, path_of, place_of
from facets.agents.context import Context
from facets.agents.driving import Driver
from facets.agents.errors import BadToolDefinition, NoSuchRun
from facets.agents.events import Event, Progressed
from facets.agents.hooks import HOOKS, Stage, Step, ToolCall, ToolOutcome, Verdict
from facets.agents.limits import EventLimits, TurnLimits
from facets.agents.noting import context_tools
from facets.agents.overseeing import Overseer
from facets.agents.plans import Plans, StepPlan, TurnPlan
from facets.agents.retrying import ErrorKind, Retries, kind_of
from facets.agents.runs import Run, Runs, RunStatus
from facets.agents.schema import SCHEMA
from facets.agents.session import MAIN, Session
from facets.agents.tool import Tool, check_names, marked, tool_of
from facets.agents.turns import Status, Turn, Turns, check_type
from facets.agents.workspace import Workspace

if TYPE_CHECKING:
    from pydantic_ai.models import Model
    from pydantic_ai.settings import ModelSettings

    from facets.extensions import Extensions


class Agent(Actor):
    """A durable actor that a model drives.

        class Librarian(Agent):
            model = "anthropic:claude-sonnet-4-5"
            instructions = "You look after a shelf of books."

            @tool
            async def add(self, title: str) -> str:
                '''Put a book on the shelf.'''
                self.kv[f"book:{title}"] = True
                return f"{title} is on the shelf"

    A turn is a prompt and all that follows from it: responses of the model and results of tools,
    until a response calls no tool. Each of them is one commit, durable before the next begins. A
    turn that a crash or a sleep cut off goes on from the last one, within 10 seconds of the
    runtime's start or with the next call, and repeats nothing that is finished. A tool that had
    begun and was not finished is called again; what a tool of one step writes to the agent's own
    database is there exactly once, and `facets.agents.current().id` stays the same.

    The model reads what was wrong when it calls a tool that is not there, or with arguments that
    do not fit, and what a tool raised. A tool's last step is undone then, like that of any method.

    Turns of one branch run one after the other, those of different branches at the same time.
    A subclass may have `migrations` of its own.
    """

    migrations: ClassVar[Sequence[str]] = SCHEMA
    model: ClassVar[Model | str]
    """What pydantic-ai takes: a `Model`, or a name like "openai:gpt-5"."""
    instructions: str | None = None
    """What the model is told first, in every request."""
    tools: Sequence[Tool | SubAgent | Workspace | Callable[..., Any]] = ()
    """Tools besides the methods marked `@tool`: functions, `Tool`, `as_tool(Researcher)`,
    `Workspace("/work")`; of the class, or given in `on_start`, as `CodeMode(self, ...).tools()`."""
    context: ClassVar[Sequence[ContextBlock]] = ()
    """What the model always has before it, or at hand: `Readonly`, `Writable`, `Searchable` and
    `Skills`. The instructions, with this, are frozen for each branch."""
    models: ClassVar[Mapping[str, Model]] = MappingProxyType({})
    """Models by the names that a plan may give them."""
    model_settings: ModelSettings | None = None
    """What pydantic-ai takes for a request: temperature, max_tokens, tool_choice, timeout..."""
    retries: ClassVar[Retries] = Retries()
    """What becomes of a request to the model that fails."""
    compact_after: ClassVar[int | None] = None
    """Tokens of history, about, over which its older part goes on as a summary; None for 0.8 of the
    model's window, where that is known. A request that is refused as too long is made again after
    a compaction in any case. Nothing is deleted: `session.path` and `search` have it all."""
    compaction_model: ClassVar[Model | str | None] = None
    """Who writes the summary; None for `model`."""
    limits: ClassVar[TurnLimits] = TurnLimits()
    max_runs: ClassVar[int | None] = None
    """Runs of sub-agents under way at the same time; what is more is queued, in order."""
    event_limits: ClassVar[EventLimits] = EventLimits()
    """What is kept of events, for those who come late."""
    extensions: Extensions | None = None
    """What the model may write for itself; made in `on_start`: `self.extensions = Extensions(self)`
    and `await self.extensions.resume()`. Each step of a turn has the tools of what is active then,
    and `model_tools`, so what a tool call activates can be used in the next step. A tool of the
    agent's own comes before one of an extension with the same name."""
    output_type: ClassVar[Any] = str
    """What a turn ends with: text, or a pydantic model, a dataclass, a TypedDict, or a union of
    types, for which the model has tools to answer by. One that does not fit is told what is wrong,
    and asked again."""
    output_retries: ClassVar[int] = 2
    """How often, in one turn: then it ends with `BadOutput`."""
    concurrency: ClassVar[Literal["queue", "latest", "drop", "merge", "debounce"]] = "queue"
    """What becomes of a turn that is submitted while another one of its branch is not over: it
    waits; it takes the place of all of them; it is dropped; it becomes one turn with those that
    wait; or so, once nobody has asked for more for a while."""
    debounce_seconds: ClassVar[float] = 1.0
    """That while."""
    approval_seconds: ClassVar[float | None] = 7 * 86_400.0
    """How long a tool call waits for approval; then it is rejected. None: as long as it takes."""
    _inner = frozenset({"on_progress", "on_run_finished", "on_run_started", "progress", *HOOKS})
    _made: Driver | None = None
    _oversees: Overseer | None = None
    _said: Session | None = None
    _blocks: Context | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_names(cls, Agent)
        check_type(cls.output_type)
        check_blocks(cls.context)
        own = cls.__dict__.get("migrations")
        if own is not None and tuple(own[: len(SCHEMA)]) != SCHEMA:
            cls.migrations = (*SCHEMA, *own)

    # -- for its own code -------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """What was said: messages as a tree, with branches, compaction and search."""
        if self._said is None:
            self._said = Session(self)
        return self._said

    @property
    def blocks(self) -> Context:
        """What the blocks of `context` say."""
        if self._blocks is None:
            self._blocks = Context(self)
        return self._blocks

    @property
    def agents(self) -> Agents:
        """The sub-agents of this one: get, list, abort, delete."""
        return Agents(self)

    @property
    def path(self) -> tuple[tuple[str, str], ...]:
        """Kind and name of each agent from the root to this one; a facet that is none has the kind
        ""."""
        return path_of(self._active().node)

    def parent_agent(self, cls: type[P]) -> P:
        """A stub of the agent that this one is a sub-agent of; `OtherParent` if it has none, or the
        parent is not a `cls`."""
        return parent_of(self, cls)

    async def on_run_started(self, run: Run) -> None:
        """Runs when a run of a sub-agent begins: at once, or when there is room for it."""

    async def on_progress(self, run: Run, progress: Progressed) -> None:
        """Runs when the sub-agent of a run tells how far it is."""

    async def on_run_finished(self, run: Run) -> None:
        """Runs when a detached run of a sub-agent is over, in the step that keeps that it is: once
        in this agent's data. Without a definition of yours it is a prompt to the model."""
        text = run.output if run.status == "completed" else run.error
        await self.submit(
            f"The run {run.id} of {run.kind} is over: {run.status}.\n{text or ''}",
            id=f"report:{run.id}",
        )

    async def before_turn(self, turn: Turn) -> TurnPlan | None:
        """Runs before the first request of a turn; may say how all of them are made."""

    async def before_step(self, step: Step) -> StepPlan | None:
        """Runs before each request to the model, once for all attempts; may say how it is made."""

    async def on_text(self, turn: Turn, text: str) -> None:
        """Runs for each piece of text that the model says. Of a request that fails, or is cut off
        by a crash, the text comes anew."""

    async def before_tool_call(self, call: ToolCall) -> Verdict | None:
        """Runs before a tool: None to call it, or `WithArguments`, `Block`, `Substitute`."""

    async def after_tool_call(self, call: ToolCall, outcome: ToolOutcome) -> None:
        """Runs once what became of a call is kept."""

    async def after_step(self, step: Step) -> None:
        """Runs after each response, once the results of its calls are there."""

    async def after_turn(self, turn: Turn) -> None:
        """Runs in the step that ends a turn which had begun, however it ends: as it will be."""

    async def on_error(self, turn: Turn, error: Exception, stage: Stage) -> None:
        """Runs when a request to the model has failed, before it is made again or the turn ends,
        and when an error ends a turn."""

    def error_kind(self, error: Exception) -> ErrorKind:
        """What an error of a model means: whether to try again."""
        return kind_of(error)

    async def on_facet_due(self, name: str) -> None:
        """A sub-agent has turns to go on with, or an extension a timer that is due: it is
        started."""
        if self.extensions is not None:
            self.extensions.due(name)
        self.agents.resume(name)

    # -- for callers ------------------------------------------------------------------------

    async def run(self, prompt: str, *, branch: str = MAIN) -> Any:
        """The output of a new turn, of `output_type`. Cancelling the call cancels the turn.

        `TurnFailed` if it has none; the error is kept with the turn.
        """
        id = await self.submit(prompt, branch=branch)
        try:
            return (await self._driver.ended(id)).result()
        except BaseException:
            await self.cancel(id)
            self._active().end_step()  # or what follows would undo that
            raise

    async def stream(
        self, prompt: str, *, id: str | None = None, branch: str = MAIN, after: int = 0
    ) -> AsyncGenerator[Event, None]:
        """The same as events while they happen: text, tool calls, progress of sub-agents.

        Who stops iterating does not cancel the turn, and may come back: with the same `id`, it is
        the same turn, and events begin behind number `after`, as those of `events`. At the end
        `TurnFailed` is raised as by `run`.
        """
        id = await self.submit(prompt, id=id, branch=branch)
        async with aclosing(self.events(id, after=after)) as events:
            async for event in events:
                yield event
        self._turns.get(id).result()

    async def events(self, id: str, *, after: int = 0) -> AsyncGenerator[Event, None]:
        """The events of a turn behind number `after`, its `seq`: those that were, then those that
        come, until the turn is over. `NoSuchTurn`.

        Each comes once, in order, also to who comes back after a crash: `Restarted` then says what
        of it is void. `event_limits` bounds what is kept: where something is missing is a `Missed`.
        """
        if not self._turns.get(id).over:
            self._driver.wake()
        async with aclosing(self._driver.log.follow(id, after)) as events:
            async for event in events:
                yield event

    async def submit(
        self, prompt: str, *, id: str | None = None, branch: str = MAIN, report: str | None = None
    ) -> str:
        """Ask for a turn, and do not wait: its id. Durable once this returns.

        Idempotent by `id`: a second call changes nothing, whatever became of the first;
        `TurnDiffers` if it asks for something else. `report` is the run that a parent, and nobody
        else, asks to be told of: `NoSuchRun`.
        """
        parent = self._active().node.parent
        if report is not None and (parent is None or caller() is not parent):
            raise NoSuchRun(f"whoever calls has no run {report!r}", run=report)
        id = id or uuid4().hex
        for one in prompts.add(self, id, branch, prompt, report):
            await self._driver.cancel(one, f"made way for turn {id!r}")
        self._driver.wake()
        return id

    async def wait(self, id: str) -> Turn:
        """The turn once it is over, however it ended; `NoSuchTurn`. Cancelling it leaves the turn
        alone."""
        return await self._driver.ended(id)

    async def cancel(self, id: str) -> bool:
        """End a turn, with the tool calls and sub-agents that it waits for; whether it was not
        over. What it has done stays. `NoSuchTurn`."""
        turn = self._turns.get(id)
        if not turn.over:
            await self._driver.cancel(turn)
        return not turn.over

    async def steer(self, turn: str, text: str, *, id: str | None = None) -> bool:
        """Say something to a turn that is not over: the model hears it before its next step, also
        if it was about to end. Whether it will: False if it is over. Durable once this returns, and
        idempotent by `id`, of which the words are said once; `TurnDiffers` for other words;
        `NoSuchTurn`."""
        return prompts.steer(self, self._turns.get(turn), text, id or uuid4().hex)

    async def regenerate(
        self, turn: str, *, id: str | None = None, branch: str | None = None
    ) -> str:
        """Ask for another turn of the same prompt, on a branch that begins where the first one
        did, and which is called as the new turn if nothing else is said; its id. The first stays.
        Idempotent by `id`; `TurnOpen` if the first is not over; `BranchTaken`; `NoSuchTurn`."""
        old, id = self._turns.get(turn), id or uuid4().hex
        if self._turns.find(id) is None:
            name = branch or id
            await self.submit(prompts.beside(self, old, name), id=id, branch=name)
        return id

    async def delete(self, id: str) -> bool:
        """Forget a turn that is over; whether there was one. Its messages stay, so its id cannot be
        used again. `TurnOpen`."""
        found = self._turns.find(id)
        if found is not None:
            prompts.forget(self, found)
        return found is not None

    async def turn(self, id: str) -> Turn:
        """The turn as it is now; `NoSuchTurn`."""
        return self._turns.get(id)

    async def approvals(self, *, status: Decision | None = "pending") -> list[Approval]:
        """Tool calls that wait for approval, the oldest first; None for all that were asked for."""
        return Approvals(self).list(status)

    async def approve(self, id: str, *, note: str | None = None) -> Approval:
        """Let a tool call run, with the arguments that were shown, and its turn go on; durable once
        this returns. The approval as it stands then: one that was decided before stays as it was.

        Whoever has a stub of the agent may decide, as it may call any other method; code of its
        turns, its isolates and the agents below it may not: `ApprovalForbidden`. `ToolChanged` if
        the tool takes other arguments than when it was asked for; `NoSuchApproval`."""
        return decide(self._driver, id, "approved", note)

    async def reject(self, id: str, reason: str | None = None) -> Approval:
        """Let the model read why a tool call is not made, and its turn go on; as `approve`."""
        return decide(self._driver, id, "rejected", reason)

    async def turns(
        self,
        *,
        status: Status | None = None,
        branch: str | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[Turn]:
        """The newest turns, the newest first: those of a status, of a branch, older than the turn
        `before`, by which the next ones are found; `NoSuchTurn` for that one."""
        return self._turns.find_all(status, branch, before, limit)

    # -- runs of its sub-agents ---------------------------------------------------------------

    async def runs(self, status: RunStatus | None = None, limit: int = 100) -> list[Run]:
        """The newest runs, the newest first; those of one status."""
        return Runs(self).list(status, limit)

    async def wait_run(self, id: str) -> Run:
        """A run once it is over, however it ended; `NoSuchRun`. Cancelling it leaves the run alone,
        and after a crash it may be called again."""
        return await self._overseer.over(id)

    async def cancel_run(self, id: str) -> bool:
        """End a run, and its turn; whether it was not over. `NoSuchRun`."""
        return await self._overseer.cancel(id)

    # -- between agents -----------------------------------------------------------------------

    async def progress(
        self,
        message: str,
        fraction: float | None = None,
        *,
        milestone: str | None = None,
        data: Any = None,
    ) -> None:
        """Tell the parent how far the run is that it called; for tools of a sub-agent. Nobody hears
        of it where no tool call of the parent is behind the turn.

        It is a sign of life, see `as_tool`. A `milestone` is kept with the run; `data`, what JSON
        can say, comes with the event. TypeError for other data.
        """
        running = current()
        msgspec.json.encode(data)
        if running is not None and self.parent is not None:
            await self.parent.progressed(
                Progressed(running.turn, message, fraction, milestone, data)
            )

    async def progressed(self, progress: Progressed) -> None:
        """A sub-agent tells its parent how far it is. Nobody hears it of another one's run."""
        found = self._run_of_caller(progress.run)
        if found is not None:
            await self._overseer.progressed(found, progress)

    async def report(self, run: str, status: str, output: str | None, error: str | None) -> None:
        """A sub-agent tells its parent that a detached run is over. Again means nothing new.

        `NoSuchRun` for whoever calls and is not the sub-agent that was given it.
        """
        if self._run_of_caller(run) is None:
            raise NoSuchRun(f"whoever calls has no run {run!r}", run=run)
        await self._overseer.report(run, status, output, error)

    def _run_of_caller(self, id: str) -> Run | None:
        """A run, if the actor whose call this is is the sub-agent that was given it.

        Whoever reaches an agent, over HTTP too, may call its methods, and ids of runs can be
        guessed: what counts is who calls, which no caller says of itself.
        """
        found, who = Runs(self).find(id), caller()
        if found is None or who is None or who.parent is not self._active().node:
            return None
        return found if who.name == place_of(found.kind, found.name) else None

    # -- inside ---------------------------------------------------------------------------------

    @property
    def _turns(self) -> Turns:
        return Turns(self)

    @property
    def _plans(self) -> Plans:
        return Plans(self)

    @property
    def _driver(self) -> Driver:
        if self._made is None:
            self._made = Driver(self)
        return self._made

    @property
    def _overseer(self) -> Overseer:
        if self._oversees is None:
            self._oversees = Overseer(self)
        return self._oversees

    async def _look(self) -> None:
        await self._overseer.look()

    async def _wake(self) -> None:
        self._driver.wake()
        await self._driver.report()

    async def _expire(self) -> None:
        expire(self._driver)

    def _collect(self) -> dict[str, Tool]:
        """Marked methods, and what `tools` lists."""
        cls: Any = type(self)
        own = [getattr(self, name) for name in marked(cls)]
        found: dict[str, Tool] = {}
        spaces = [one.bind(self) for one in self.tools if isinstance(one, Workspace)]
        others = [one for one in self.tools if not isinstance(one, Workspace)]
        for one in (*chain(*spaces), *own, *others, *context_tools(self)):
            made = one.bind(self) if isinstance(one, SubAgent) else one
            made = made if isinstance(made, Tool) else tool_of(made)
            if made.name in found:
                raise BadToolDefinition(f"two tools are called {made.name!r}", name=made.name)
            found[made.name] = made
        return found

    def _extended(self) -> dict[str, Tool]:
        """What extensions add to that now."""
        if self.extensions is None:
            return {}
        from facets.extensions import model_tools

        return {one.name: one for one in (*self.extensions.tools(), *model_tools(self.extensions))}
