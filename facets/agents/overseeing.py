"""The life of runs: queued, begun, attended, given up, and found again after a crash.

A row says what is wanted; whatever is in memory can be lost. So a run that its sub-agent may not
have, or that its sub-agent may not know to be over, is asked for, or stopped, again: each has the
id of the run, and the second time changes nothing. A sub-agent that cannot be reached is no
failure: only the time that the run has, and what it may be silent, ends it.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from actors.call import CURRENT
from actors.errors import FacetAborted, FacetDeleted
from actors.hooks import report
from facets.agents.errors import NoSuchTurn
from facets.agents.runs import Reason, Run, Runs, RunStatus, ended, outcome

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from facets.agents.agent import Agent
    from facets.agents.children import SubAgent
    from facets.agents.events import Progressed

LOOK = 10.0
"""Seconds between looks at runs that are not over."""
TIMER = "facets.agents.runs"


class Overseer:
    """What looks after the runs of one agent, while it is awake."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._runs = Runs(agent)
        self._attending: dict[str, asyncio.Task[Any]] = {}
        """The tool calls that wait for runs."""
        self._changes: dict[str, asyncio.Future[None]] = {}
        """Of runs whose beginning or end somebody waits for."""
        self._sent: set[str] = set()
        """Runs that this incarnation has given to their sub-agents."""
        self._looked = False

    # -- for tools ----------------------------------------------------------------------------

    async def ask(self, how: SubAgent, id: str, prompt: str) -> Run:
        """A run, as it is when its tool call is over: at its end, or when it is detached."""
        new = self._runs.find(id) is None
        name = how.agent or id
        self._agent.agents.get(how.cls, name, quota=how.quota)  # which keeps what it is
        run = self._runs.add(id, how, name, prompt)
        if new and self._runs.count() == 1:
            self._agent.timers.every(LOOK, self._agent._look, name=TIMER)
        await self._advance()
        if how.detached:
            return self._runs.get(id)
        self._attending[id] = _task()
        try:
            while not (run := self._runs.get(id)).over:
                await (self._attend(run) if run.status == "running" else self._change(id))
        except asyncio.CancelledError:
            if self._given_up(id):
                return self._runs.get(id)
            await self.cancel(id)
            self._agent._active().end_step()  # or what follows would undo that
            raise
        finally:
            self._attending.pop(id, None)
        return run

    def _given_up(self, id: str) -> bool:
        """Whether a cancellation of the call that waits for a run says that the run is over."""
        if self._agent._active().broken is not None or not self._runs.get(id).over:
            return False
        if self._attending.get(id) is _task():
            return False
        _task().uncancel()
        return True

    async def _attend(self, run: Run) -> None:
        """Give it to its sub-agent, and wait for the end."""
        try:
            child = await self._send(run)
            turn = await child.wait(run.id)
        except Exception as error:
            if self._agent._active().broken is not None:
                raise
            reason = "deleted" if isinstance(error, FacetDeleted) else "crashed"
            if isinstance(error, FacetAborted) and reason != "deleted":
                reason = "aborted"
            told = f"{type(error).__name__}: {error}"
            await self._finish(run.id, "interrupted", error=told, reason=reason)
        else:
            status, said = outcome(turn)
            await self._finish(run.id, status, **said)

    # -- beginning and ending -------------------------------------------------------------------

    async def _advance(self) -> None:
        """Begin runs that are queued, as far as there is room."""
        for run in self._runs.begin(self._agent.max_runs, self._now()):
            self._changed(run.id)
            await self._apart("on_run_started", self._agent.on_run_started(run))
            if run.detached:
                await self._try_to_send(run)

    async def _try_to_send(self, run: Run) -> None:
        """That it cannot be reached is kept with the run, and tried again at the next look."""
        try:
            await self._send(run)
        except Exception as error:
            if self._agent._active().broken is not None:
                raise
            self._runs.update(run.id, error=f"{type(error).__name__}: {error}")

    async def _send(self, run: Run) -> Any:
        """Give it to its sub-agent, which has it from then on."""
        child = self._agent.agents._child(run.kind, run.name)
        report = run.id if run.detached else None
        await child.submit(self._runs.prompt(run.id), id=run.id, report=report)
        self._sent.add(run.id)
        if not self._runs.flagged("sent", run.id):
            self._runs.update(run.id, sent=1, error=None)
        return child

    async def _finish(self, id: str, status: RunStatus, **said: Any) -> Run | None:
        """It is over, as of this step; None if it was before. The next may begin."""
        run = self._runs.finish(id, status, **said)
        if run is None:
            return None
        self._sent.discard(id)
        self._changed(id)
        if run.detached:
            await self._agent.on_run_finished(run)
        elif (task := self._attending.get(id)) is not None and task is not _task():
            del self._attending[id]
            task.cancel()
        self.soon(self._settle())
        return run

    async def _settle(self) -> None:
        """What follows from the end of a run."""
        await self._stop()
        await self._advance()
        if not self._runs.count() and not self._runs.stopping():
            self._agent.timers.cancel(TIMER)

    async def _stop(self) -> None:
        """End what is over here at its sub-agent."""
        for run in self._runs.stopping():
            try:
                if self._agent.agents.exists(run.kind, run.name):
                    await self._agent.agents._child(run.kind, run.name).cancel(run.id)
            except NoSuchTurn:
                pass  # it never had it
            except Exception:
                if self._agent._active().broken is not None:
                    raise
                continue  # it cannot be reached: again at the next look
            self._runs.update(run.id, stop=0)

    # -- for callers, and for sub-agents ----------------------------------------------------------

    async def cancel(self, id: str) -> bool:
        """End a run; whether it was not over."""
        self._runs.get(id)
        said = {"error": "cancelled", "reason": "cancelled", "stop": True}
        return await self._finish(id, "aborted", **said) is not None

    async def over(self, id: str) -> Run:
        """The run, once it is over."""
        if not self._looked and not self._runs.get(id).over:
            self.soon(self.look())  # it may be one of a process that died
        while not (run := self._runs.get(id)).over:
            await self._change(id)
        return run

    async def report(self, id: str, status: str, output: str | None, error: str | None) -> None:
        """A sub-agent says that it is over."""
        became, said = ended(status, output, error)
        await self._finish(id, became, **said)

    async def progressed(self, run: Run, progress: Progressed) -> None:
        """A sub-agent says how far it is."""
        if run.over:
            return
        run = self._runs.heard(run, self._now(), progress)
        self._agent._driver.log.tell(run.turn, progress)
        await self._agent.on_progress(run, progress)

    # -- looking --------------------------------------------------------------------------------

    async def look(self) -> None:
        """See that runs go on, and end those that have had their time."""
        now = self._now()
        if not self._looked:
            self._looked = True
            self._runs.attended(now, self._sent)
        for run in self._runs.open():
            if not run.detached and self._turn_is_over(run):
                await self.cancel(run.id)
            elif run.ends is not None and run.ends <= now:
                error = f"it had {run.ends - (run.begun or 0):g} s"
                await self._give_up(run, "deadline", error)
        for run in self._runs.silent(now):
            if not await self._moved(run, now):
                await self._give_up(run, "no_progress", "nothing was heard of it")
        for run in self._runs.open():
            if run.detached and run.status == "running":
                await self._see(run)
        await self._settle()

    async def _give_up(self, run: Run, reason: Reason, error: str) -> None:
        said = {"error": error, "reason": reason, "stop": True}
        await self._apart("on_run_finished", self._finish(run.id, "error", **said))

    async def _see(self, run: Run) -> None:
        """A detached run is where it should be."""
        there = self._agent.agents.exists(run.kind, run.name)
        if not there and self._runs.flagged("sent", run.id):
            said = {"error": "its sub-agent was deleted", "reason": "deleted"}
            await self._apart("on_run_finished", self._finish(run.id, "interrupted", **said))
        elif run.id not in self._sent:
            await self._try_to_send(run)

    async def _moved(self, run: Run, now: float) -> bool:
        """Whether its turn has come further, though it said nothing; unknown is not failed."""
        try:
            turn = await self._agent.agents._child(run.kind, run.name).turn(run.id)
        except NoSuchTurn:
            return not self._runs.flagged("sent", run.id)
        except Exception:
            if self._agent._active().broken is not None:
                raise
            return True
        return turn.over or self._runs.moved(run, turn.steps, now)

    def _turn_is_over(self, run: Run) -> bool:
        turn = self._agent._turns.find(run.turn)
        return turn is None or turn.over

    # -- inside ---------------------------------------------------------------------------------

    async def _apart(self, hook: str, work: Coroutine[Any, Any, object]) -> None:
        """Do it in a task of its own: a hook that fails undoes its step, and holds nothing up."""
        try:
            await asyncio.create_task(work)
        except Exception as error:
            if self._agent._active().broken is not None:
                raise
            report(self._agent._active(), hook, error)

    def soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it in a call of its own. What fails is tried again at the next look."""
        context = copy_context()
        context.run(CURRENT.set, self._agent._active().new_call("runs"))
        task = context.run(asyncio.get_running_loop().create_task, work)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        active = self._agent._activation
        error = None if task.cancelled() else task.exception()
        if error is not None and active is not None and active.broken is None:
            report(active, "runs", error)

    def _change(self, id: str) -> asyncio.Future[None]:
        found = self._changes.get(id)
        if found is None:
            found = self._changes[id] = asyncio.get_running_loop().create_future()
        return asyncio.shield(found)

    def _changed(self, id: str) -> None:
        change = self._changes.pop(id, None)
        if change is not None:
            change.set_result(None)

    def _now(self) -> float:
        return self._agent._active().node.host.clock.now()


def _task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - runs are driven in tasks
    return task
