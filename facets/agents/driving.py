"""Driving turns: a response of the model (`asking`), then its tool calls (`answering`), then the
next response.

Each response and each result of a tool is a commit, durable before the next thing begins. A turn
that was cut off, by a crash or a sleep, goes on from its rows: what is there is not done again.
A tool call that had begun and has no result is made again, under the same `current().id`.

One task drives one branch, in a call of its own, so that nothing of the caller who happened to
begin it (deadline, transaction) holds for it. A timer that ticks while turns are open finds those
that nobody drives.
"""

from __future__ import annotations

import asyncio
import json
from contextvars import copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic_ai import messages as m

from actors.call import CURRENT
from actors.deadline import deadline
from facets.agents import answering, approvals, asking, hooks, output, prompts, retrying
from facets.agents.errors import HookFailed
from facets.agents.events import Answered
from facets.agents.log import Log
from facets.agents.output import Outcome
from facets.agents.retrying import Attempts
from facets.agents.turns import Status, Turn

if TYPE_CHECKING:
    from facets.agents.agent import Agent
    from facets.agents.tool import Tool

WAKE = 10.0
"""Seconds between looks at turns that nobody drives: those of a process that died."""
TIMER = "facets.agents"


class Driver:
    """What drives the turns of one agent, while it is awake."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._driving: dict[str, asyncio.Task[None]] = {}
        """The task of each branch that has one, which drives its first open turn."""
        self._begun: set[str] = set()
        """Branches whose task has run at all: one that is cancelled before never does, nor leaves
        its place to another."""
        self._ends: dict[str, asyncio.Future[None]] = {}
        """Of turns that somebody waits for."""
        self._ending: set[str] = set()
        """Turns whose last hooks run."""
        self._cancelled: dict[str, str] = {}
        """Branches of turns that are being cancelled, by their ids: nobody is to drive those."""
        self.log = Log(agent)
        self._reporting: asyncio.Task[None] | None = None
        self._tools: dict[str, Tool] | None = None

    # -- beginning and ending ---------------------------------------------------------------

    def wake(self) -> None:
        """See that every open turn is driven, and goes on being so after a crash."""
        branches = prompts.ready(self.agent)
        if branches or self.agent._turns.unreported():
            self.agent.timers.every(WAKE, self.agent._wake, name=TIMER)
        else:
            self.agent.timers.cancel(TIMER)
        for branch in branches:
            if branch not in self._driving and branch not in self._cancelled.values():
                task = self._driving[branch] = self._detached(self._drive(branch))
                task.add_done_callback(self._stopped)

    def _detached(self, work: Any) -> asyncio.Task[None]:
        context = copy_context()
        call = self.agent._active().new_call(approvals.DRIVING)
        context.run(CURRENT.set, call)
        task: asyncio.Task[None] = context.run(asyncio.get_running_loop().create_task, work)
        return task

    def _stopped(self, task: asyncio.Task[None]) -> None:
        """What fails here is not the turn but what keeps it, a full disk: nobody goes on now."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        for future in self._ends.values():
            if not future.done():
                future.set_exception(error)
                future.exception()  # heard here: those who waited may have ended as well
        self._ends.clear()
        self.log.fail(error)

    async def cancel(self, turn: Turn, why: str = "cancelled") -> None:
        """End a turn, if it is not over by now; what it has done stays."""
        turn = self.agent._turns.get(turn.id)
        if turn.over:
            return
        if turn.merged is not None:
            self.end(turn, "aborted", error=why)  # the one that it is part of goes on
            return
        if turn.begun is not None:
            self._cancelled[turn.id] = turn.branch
        if turn.status == "running" and turn.branch in self._begun:
            self._driving[turn.branch].cancel()
        try:
            if turn.id in self._ending:
                self.end(turn, "aborted", error=why)  # its last hooks are cut off
            else:
                await self.finish(turn, "aborted", error=why)
        finally:
            self._cancelled.pop(turn.id, None)
        self.wake()

    async def finish(
        self, turn: Turn, status: Status, *, last: hooks.Step | None = None, **outcome: Any
    ) -> None:
        """The turn ends, and its last hooks run in the step that keeps it."""
        agent = self.agent
        names = ["after_step"] * (last is not None) + ["after_turn"] * (turn.begun is not None)
        if not any(hooks.defined(agent, name) for name in names):
            return self.end(turn, status, **outcome)
        self._ending.add(turn.id)
        if last is not None:
            self.log.keep(turn.id)  # the response, which the hooks begin a new step behind
        try:
            await hooks.apart(self._finish(turn, status, last, outcome))
        except HookFailed as error:
            if error.hook == "after_step":
                raise
            self.end(turn, "error", error=_said(error))
        finally:
            self._ending.discard(turn.id)

    async def _finish(
        self, turn: Turn, status: Status, last: hooks.Step | None, outcome: dict[str, Any]
    ) -> None:
        if last is not None:
            await hooks.call(self.agent, "after_step", last)
        newest = self.agent._turns.get(turn.id)
        await hooks.call(self.agent, "after_turn", replace(newest, status=status, **outcome))
        if not self.agent._turns.get(turn.id).over:  # a hook may hold up a cancellation
            self.end(turn, status, **outcome)

    def end(self, turn: Turn, status: Status, **outcome: Any) -> None:
        """The turn is over, as of this step; those who wait hear of it."""
        turns = self.agent._turns
        newest = turns.get(turn.id)
        if newest.head is not None:
            response = self.agent.session.get(newest.head).message
            if isinstance(response, m.ModelResponse) and response.tool_calls:
                answering.close(self.agent, newest, response, outcome.get("answered"))
        turns.update(turn.id, status=status, paused=None, **outcome)
        Attempts(self.agent).clear(turn.id)
        self.agent._plans.clear(turn.id)
        approvals.Approvals(self.agent).withdraw(turn.id)
        ended = self._ends.pop(turn.id, None)
        if ended is not None and not ended.done():
            ended.set_result(None)
        self.log.end(turn.id)
        for one in turns.merged(turn.id):
            if not one.over:
                self.end(one, status, **outcome)

    def ending(self, id: str) -> bool:
        """Whether the last hooks of a turn run, which nothing keeps from its end."""
        return id in self._ending

    async def ended(self, id: str) -> Turn:
        """The turn, once it is over."""
        while not (turn := self.agent._turns.get(id)).over:
            self.wake()
            future = self._ends.get(id)
            if future is None:
                future = self._ends[id] = asyncio.get_running_loop().create_future()
            await asyncio.shield(future)
        return turn

    # -- one branch, one turn -----------------------------------------------------------------

    async def _drive(self, branch: str) -> None:
        agent = self.agent
        self._begun.add(branch)
        turns: list[Turn] = []
        try:
            first = [one for one in agent._turns.first(branch) if one.id not in self._cancelled]
            turns = [one for one in first if prompts.is_ready(agent, one)]
            for turn in turns:  # none if it was cancelled, or undone, in the step that asked for it
                await self._turn(turn)
        except asyncio.CancelledError:
            newest = agent._turns.find(turns[0].id)
            over = newest is None or newest.over or newest.id in self._cancelled
            if agent._active().broken is not None or not over:
                raise  # not by `cancel`: what is left goes on when the agent wakes again
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - this runs in one
            task.uncancel()
        finally:
            self._driving.pop(branch, None)
            self._begun.discard(branch)
        self.wake()
        if agent._turns.unreported():
            # A parent that cannot be told is no concern of those who wait here; the timer tries
            # again.
            self._reporting = self._detached(self.report())
            self._reporting.add_done_callback(_heard)

    async def _turn(self, turn: Turn) -> None:
        agent = self.agent
        now = agent._active().node.host.clock.now()
        self.log.begin(turn)
        try:
            left = agent.limits.seconds - (now - (turn.begun or now) - turn.waited)
            with deadline(max(left, 0.0)):
                if turn.begun is None:
                    turn = await self._begin(turn)
                else:
                    await retrying.take_up(self, turn)
                if not turn.over:
                    await hooks.before_turn(self, turn)
                while turn.status == "running":
                    turn = await self._step(turn)
        except Exception as error:
            if agent._active().broken is not None:
                raise
            newest = agent._turns.find(turn.id)
            if newest is not None and not newest.over:
                await self._fail(turn, error)

    async def _fail(self, turn: Turn, error: Exception) -> None:
        try:
            await hooks.tell(self.agent, "on_error", turn, error, "turn")
        except HookFailed as another:
            error = another
        await self.finish(turn, "error", error=_said(error))

    async def _begin(self, turn: Turn) -> Turn:
        await self.agent.blocks.begin(turn)
        newest = self.agent._turns.find(turn.id)
        if newest is None or newest.over:  # it was cancelled while the blocks were read
            return replace(turn, status="aborted")
        return prompts.begin(self.agent, newest)

    async def _step(self, turn: Turn) -> Turn:
        agent = self.agent
        newest = agent.session.get(turn.head or "").message
        if not isinstance(newest, m.ModelResponse):
            output.check(agent, turn)
            return await asking.respond(self, prompts.hear(agent, turn))
        heard = not prompts.unheard(agent, turn)
        ended = output.outcome(agent, newest) if heard else None
        if ended is not None:
            return await self._complete(turn, newest, ended)
        if newest.tool_calls:
            return await answering.answer(self, turn, newest)
        then = output.again if heard else prompts.hear
        return await hooks.after_step(agent, turn, newest, then)

    async def _complete(self, turn: Turn, response: m.ModelResponse, ended: Outcome) -> Turn:
        if ended.answered is not None:
            self.log.tell(turn.id, Answered(turn.id, json.loads(ended.output)))
        last = hooks.Step(turn, turn.steps, response)
        await self.finish(
            turn, "completed", last=last, output=ended.output, answered=ended.answered
        )
        return self.agent._turns.get(turn.id)

    async def durable(self) -> None:
        """What was committed is on disk, or wherever the actor's durability says."""
        active = self.agent._active()
        active.end_step()
        await active.node.host.gate.passed(active.dependency, active.remote)

    def tools(self) -> dict[str, Tool]:
        """All that the model is shown now, by name: its own before what extensions add."""
        if self._tools is None:
            self._tools = self.agent._collect()
        return {**self.agent._extended(), **self._tools}

    # -- reports -----------------------------------------------------------------------------------

    async def report(self) -> None:
        """Tell the parent of turns that it wants to hear of; at least once. One that it cannot take
        is told again at the next look, and holds up no other."""
        turns = self.agent._turns
        failed: Exception | None = None
        for turn in turns.unreported():
            try:
                await self.agent.parent.report(turn.report, turn.status, turn.output, turn.error)
            except Exception as error:
                if self.agent._active().broken is not None:
                    raise
                failed = error
            else:
                turns.update(turn.id, report=None)
        if failed is not None:
            raise failed


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _heard(task: asyncio.Task[None]) -> None:
    """What it failed by is of account to nobody: it is tried again."""
    if not task.cancelled():
        task.exception()
