"""Runs as rows: what an agent gave to its sub-agents, how far each came, what became of it."""

from __future__ import annotations

import builtins
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from facets.agents.errors import NoSuchRun

if TYPE_CHECKING:
    from collections.abc import Collection

    from facets.agents.agent import Agent
    from facets.agents.children import SubAgent
    from facets.agents.turns import Turn

RunStatus = Literal["queued", "running", "completed", "error", "aborted", "interrupted"]
Reason = Literal[
    "failed", "budget", "deadline", "no_progress", "busy", "cancelled", "aborted", "deleted",
    "crashed",
]  # fmt: skip
OPEN = ("queued", "running")
RETRYABLE = frozenset({"no_progress", "busy", "aborted", "crashed"})
_BUDGETS = ("OverBudget:", "MeterQuota:")
_SELECT = (
    "select id, kind, name, status, output, error, reason, detached, begun, ends, message, "
    "fraction, milestones from agent_runs "
)


@dataclass(frozen=True, slots=True)
class Run:
    """A prompt that an agent gave to a sub-agent by a tool call."""

    id: str
    kind: str
    name: str
    """Of the sub-agent."""
    status: RunStatus
    """`queued` until fewer than `Agent.max_runs` are under way; `running`; `completed`; `error` if
    its turn failed, or took too long; `aborted` if it was cancelled; `interrupted` if its sub-agent
    ended with no result."""
    output: str | None = None
    error: str | None = None
    """What went wrong; while it runs, why its sub-agent could not be reached last time."""
    reason: Reason | None = None
    """Why it has no output. `failed`: an error of its turn. `budget`: of tokens, money or steps.
    `deadline`: it took longer than it had. `no_progress`: nothing was heard of it for too long.
    `busy`: its sub-agent drops what comes while it works. `cancelled`: by `cancel_run`, or with the
    turn. `aborted` or `deleted`: its sub-agent was. `crashed`: its sub-agent broke."""
    detached: int = 0
    """1 if the turn of the parent does not wait for it."""
    begun: float | None = None
    """Seconds since 1970; None while it is queued."""
    ends: float | None = None
    """When it is given up."""
    message: str | None = None
    """What its sub-agent told last, with `progress`."""
    fraction: float | None = None
    milestones: tuple[str, ...] = ()
    """Those that it has passed."""

    @property
    def turn(self) -> str:
        """The turn of the parent whose tool call it is."""
        return self.id.rsplit(":", 2)[0]

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status not in OPEN

    @property
    def retryable(self) -> bool:
        """Whether the same prompt may well succeed in a run of its own."""
        return self.reason in RETRYABLE

    def told(self) -> dict[str, Any]:
        """As the model reads it."""
        said: dict[str, Any] = {"run": self.id, "status": self.status}
        if self.status == "completed":
            said["output"] = self.output
        elif self.over:
            said |= {"error": self.error, "reason": self.reason, "retryable": self.retryable}
        return said


class Runs:
    """The table of runs. Changes belong to the current step."""

    __slots__ = ("_agent",)

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def add(self, id: str, how: SubAgent, name: str, prompt: str) -> Run:
        """A queued run; the one that is there, if there is one of this id."""
        self._sql(
            "insert into agent_runs(id, kind, name, status, prompt, detached, seconds, patience) "
            "values (?, ?, ?, 'queued', ?, ?, ?, ?) on conflict do nothing",
            id,
            how.cls.kind,
            name,
            prompt,
            how.detached,
            how.seconds,
            how.patience,
        )
        return self.get(id)

    def find(self, id: str) -> Run | None:
        """The run of this id."""
        row = self._sql(_SELECT + "where id = ?", id).first()
        return None if row is None else _run(row)

    def get(self, id: str) -> Run:
        """The run of this id; `NoSuchRun`."""
        found = self.find(id)
        if found is None:
            raise NoSuchRun(f"there is no run {id!r}", run=id)
        return found

    def prompt(self, id: str) -> str:
        """What it was asked."""
        found: str = self._sql("select prompt from agent_runs where id = ?", id).value()
        return found

    def list(self, status: str | None = None, limit: int = 100) -> builtins.list[Run]:
        """The newest, the newest first."""
        rows = self._sql(
            _SELECT + "where ?1 is null or status = ?1 order by number desc limit ?2", status, limit
        )
        return [_run(row) for row in rows]

    def open(self) -> builtins.list[Run]:
        """Those that are not over, in the order in which they were asked for."""
        rows = self._sql(_SELECT + "where status in ('queued', 'running') order by number")
        return [_run(row) for row in rows]

    def begin(self, most: int | None, now: float) -> builtins.list[Run]:
        """Let the first that are queued run, so that not more than `most` do; those."""
        rows = self._sql(
            """update agent_runs set status = 'running', begun = ?1, heard = ?1, ends = ?1 + seconds
            where id in (select id from agent_runs where status = 'queued' order by number
                limit case when ?2 is null then -1 else max(0, ?2 - (
                    select count(*) from agent_runs where status = 'running')) end)
            returning id""",
            now,
            most,
        )
        return [self.get(row.id) for row in rows]

    def count(self) -> int:
        """How many are not over."""
        found: int = self._sql(
            "select count(*) from agent_runs where status in ('queued', 'running')"
        ).value()
        return found

    def attended(self, now: float, but: Collection[str]) -> None:
        """Time in which nobody could hear of runs, `but` of these, is not their silence."""
        for run in self.open():
            if run.status == "running" and run.id not in but:
                self.update(run.id, heard=now)

    def finish(self, id: str, status: RunStatus, **outcome: Any) -> Run | None:
        """The run as it is then; None if it was over already."""
        if self.get(id).over:
            return None
        return self.update(id, status=status, **outcome)

    def update(self, id: str, **changes: Any) -> Run:
        """Change columns; the run as it is then."""
        names = ", ".join(f"{name} = ?" for name in changes)
        self._sql(f"update agent_runs set {names} where id = ?", *changes.values(), id)  # noqa: S608 - names are ours
        return self.get(id)

    def heard(self, run: Run, now: float, progress: Any) -> Run:
        """Its sub-agent told how far it is."""
        passed = run.milestones if progress.milestone is None else (progress.milestone,)
        return self.update(
            run.id,
            heard=now,
            message=progress.message,
            fraction=progress.fraction,
            milestones=json.dumps([*dict.fromkeys((*run.milestones, *passed))]),
        )

    def silent(self, now: float) -> builtins.list[Run]:
        """Those of which nothing was heard for longer than they may be silent."""
        rows = self._sql(_SELECT + "where status = 'running' and heard + patience <= ?", now)
        return [_run(row) for row in rows]

    def moved(self, run: Run, steps: int, now: float) -> bool:
        """Whether its turn has come further than when this was asked before; it is heard then."""
        rows = self._sql(
            "update agent_runs set heard = ?, steps = ? where id = ? and steps < ? returning id",
            now,
            steps,
            run.id,
            steps,
        )
        return bool(rows.all())

    def flagged(self, flag: Literal["sent", "stop"], id: str) -> bool:
        """`sent`: its sub-agent has it; `stop`: its sub-agent must be told to stop."""
        return bool(self._sql(f"select {flag} from agent_runs where id = ?", id).value())  # noqa: S608 - one of two

    def stopping(self) -> builtins.list[Run]:
        """Those that are over here, and perhaps not at their sub-agents."""
        return [_run(row) for row in self._sql(_SELECT + "where stop")]

    def _sql(self, query: str, *args: Any) -> Any:
        return self._agent.sql.unsafe(query, *args)


def outcome(turn: Turn) -> tuple[RunStatus, dict[str, Any]]:
    """What became of a run whose turn ended like this."""
    return ended(turn.status, turn.output, turn.error)


def ended(status: str, output: str | None, error: str | None) -> tuple[RunStatus, dict[str, Any]]:
    """The same of a turn's own words."""
    if status == "completed":
        return "completed", {"output": output, "error": None}
    if status == "aborted":
        return "aborted", {"error": error, "reason": "cancelled"}
    reason: Reason = "failed"
    if status == "skipped":
        error, reason = "another turn was under way", "busy"
    elif error and error.startswith(_BUDGETS):
        reason = "budget"
    elif error and error.startswith("DeadlineExceeded:"):
        reason = "deadline"
    return "error", {"error": error, "reason": reason}


def _run(row: Any) -> Run:
    return Run(**row.asdict() | {"milestones": tuple(json.loads(row.milestones))})
