"""Turns as rows: what was asked of an agent, how far it came, what became of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from facets.agents.errors import (
    BadOutputType,
    NoSuchTurn,
    TurnAborted,
    TurnDiffers,
    TurnFailed,
    TurnSkipped,
)

if TYPE_CHECKING:
    from facets.actor import Actor

Status = Literal["pending", "running", "paused", "completed", "error", "aborted", "skipped"]
OPEN = ("pending", "running", "paused")
_OPEN = "status in ('pending', 'running', 'paused')"
"""As the index has it."""
_SELECT = (
    "select id, branch, prompt, status, head, begun, steps, tokens, cost, output, error, report, "
    "paused, waited, merged, due, retries, answered from agent_turns "
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One prompt and what became of it."""

    id: str
    branch: str
    prompt: str
    status: Status
    """`paused` while calls of it wait for approval; `skipped` if it was dropped for another one;
    `aborted` if it was cancelled."""
    head: str | None = None
    """Its newest message; None before it begins."""
    begun: float | None = None
    """Seconds since 1970 of its first step."""
    steps: int = 0
    """Responses of the model."""
    tokens: int = 0
    cost: float = 0.0
    """US dollars, as far as prices are known."""
    output: str | None = None
    """The model's last words, once it is completed."""
    error: str | None = None
    report: str | None = None
    """Id of the run that its parent wants to hear of."""
    paused: float | None = None
    """Seconds since 1970 when it was paused, if it is."""
    waited: float = 0.0
    """Seconds that it was paused before: they do not count as its own."""
    merged: str | None = None
    """The turn that its prompt became part of, and whose end is its own."""
    due: float | None = None
    """Seconds since 1970 before which it does not begin, if nobody asks for more until then."""
    retries: int = 0
    """Responses that should have been an output and were none."""
    answered: str | None = None
    """The tool by which the model gave an output that is data, which `output` is as JSON."""
    _type: ClassVar[Any] = str
    """The agent's `output_type`. Not a field, so that a turn is plain data wherever it is written
    down: turns of agents with another type are of a subclass, see `typed`."""

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status not in OPEN

    @property
    def data(self) -> Any:
        """The output as plain data: text, or what its JSON says."""
        return self.output if self.answered is None else json.loads(self.output or "null")

    def result(self) -> Any:
        """The output: text, or an object of the agent's `output_type`. `TurnFailed` in all that is
        not completed; `BadOutput` if the type does not take it any more."""
        if self.status == "completed":
            return self.output or "" if self.answered is None else self._typed()
        kinds = {"aborted": TurnAborted, "skipped": TurnSkipped}
        raise kinds.get(self.status, TurnFailed)(
            f"turn {self.id!r}: {self.error or self.status}", turn=self.id, status=self.status
        )

    def _typed(self) -> Any:
        from facets.agents.output import outputs_of

        return outputs_of(self._type).load(self.answered or "", self.output or "")


def check_type(kind: Any) -> None:
    """`BadOutputType` for what turns cannot be told apart by."""
    try:
        hash(kind)
    except TypeError as error:
        raise BadOutputType(f"{kind!r} is not hashable") from error


@lru_cache(maxsize=256)
def typed(kind: Any) -> type[Turn]:
    """Turns whose `result` is of this type."""
    if kind is str:
        return Turn
    made: type[Turn] = type("Turn", (Turn,), {"__slots__": (), "_type": kind})
    return made


class Turns:
    """The table of turns. Changes belong to the current step."""

    __slots__ = ("_actor",)

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def add(self, id: str, branch: str, prompt: str, status: Status, report: str | None) -> bool:
        """A new turn; False if there is one of this id. `TurnDiffers` if that is another one."""
        found = self.find(id)
        if found is not None:
            if (found.branch, found.prompt) != (branch, prompt):
                raise TurnDiffers(f"turn {id!r} has another prompt, or branch", turn=id)
            return False
        self._sql(
            "insert into agent_turns(id, branch, prompt, status, report) values (?, ?, ?, ?, ?)",
            id,
            branch,
            prompt,
            status,
            report,
        )
        return True

    def find(self, id: str) -> Turn | None:
        """The turn of this id."""
        return next(iter(self._find("where id = ?", id)), None)

    def get(self, id: str) -> Turn:
        """The turn of this id; `NoSuchTurn`."""
        found = self.find(id)
        if found is None:
            raise NoSuchTurn(f"there is no turn {id!r}", turn=id)
        return found

    def find_all(
        self, status: Status | None, branch: str | None, before: str | None, limit: int
    ) -> list[Turn]:
        """The newest first, of those that are like this; `NoSuchTurn` for `before`."""
        if before is not None:
            self.get(before)
        like = """where (?1 is null or status = ?1) and (?2 is null or branch = ?2)
            and (?3 is null or seq < (select seq from agent_turns where id = ?3))
            order by seq desc limit ?4"""
        return self._find(like, status, branch, before, limit)

    def any_open(self, branch: str) -> bool:
        """Whether any is not over."""
        query = f"select 1 from agent_turns where branch = ? and {_OPEN} limit 1"  # noqa: S608
        return self._sql(query, branch).first() is not None

    def open(self, branch: str) -> list[Turn]:
        """Those that are not over, in the order in which they came."""
        return self._find(f"where branch = ? and {_OPEN} order by seq", branch)

    def under_way(self, branch: str) -> str | None:
        """The id of the one that has begun and is not over."""
        query = f"select id from agent_turns where branch = ? and {_OPEN} and begun is not null"  # noqa: S608
        found: str | None = self._sql(query, branch).value(None)
        return found

    def first(self, branch: str | None = None) -> list[Turn]:
        """The first open turn of each branch, or of this one."""
        each = f"select min(seq) from agent_turns where {_OPEN} group by branch"  # noqa: S608
        return self._find(f"where seq in ({each}) and (?1 is null or branch = ?1)", branch)

    def merged(self, into: str) -> list[Turn]:
        """Those that became part of a turn, in the order in which they came."""
        return self._find("where merged = ? order by seq", into)

    def put_off(self, branch: str, due: float) -> None:
        """Those of a branch that have not begun, until then."""
        self._sql(
            "update agent_turns set due = ? where branch = ? and status = 'pending'", due, branch
        )

    def delete(self, id: str) -> None:
        """Forget it, and the results that are kept for it."""
        self._sql("delete from agent_results where turn = ?", id)
        self._sql("delete from agent_turns where id = ?", id)

    def unreported(self) -> list[Turn]:
        """Those that are over, and of which the parent has not heard."""
        return self._find(f"where report is not null and not ({_OPEN})")

    def update(self, id: str, **changes: Any) -> Turn:
        """Change columns of an open turn; as it is then."""
        names = ", ".join(f"{name} = ?" for name in changes)
        self._sql(f"update agent_turns set {names} where id = ?", *changes.values(), id)  # noqa: S608 - names are ours
        return self.get(id)

    # -- results of tool calls, until the step they belong to is over ----------------------

    def keep(self, turn: Turn, place: int, body: str, unheard: float | None = None) -> None:
        """The result of a call of the newest response. `unheard` is what the call took, if
        `after_tool_call` is to hear of it."""
        self._sql(
            "insert into agent_results(turn, step, place, body, unheard) values (?, ?, ?, ?, ?)",
            turn.id,
            turn.steps,
            place,
            body,
            unheard,
        )

    def unheard(self, turn: Turn) -> dict[int, float]:
        """What those calls took of which `after_tool_call` has not heard, by their places."""
        rows = self._sql(
            "select place, unheard from agent_results "
            "where turn = ? and step = ? and unheard is not null",
            turn.id,
            turn.steps,
        )
        return {row.place: row.unheard for row in rows}

    def heard(self, turn: Turn, place: int) -> None:
        """`after_tool_call` has heard of this one."""
        self._sql(
            "update agent_results set unheard = null where turn = ? and step = ? and place = ?",
            turn.id,
            turn.steps,
            place,
        )

    def kept(self, turn: Turn) -> dict[int, str]:
        """Those results, by the place of the call in the response."""
        rows = self._sql(
            "select place, body from agent_results where turn = ? and step = ?",
            turn.id,
            turn.steps,
        )
        return {row.place: row.body for row in rows}

    def clear(self, turn: Turn) -> None:
        """They are part of a message now."""
        self._sql("delete from agent_results where turn = ?", turn.id)

    def _find(self, like: str, *args: Any) -> list[Turn]:
        made = typed(getattr(self._actor, "output_type", str))
        return [made(*row) for row in self._sql(_SELECT + like, *args)]

    def _sql(self, query: str, *args: Any) -> Any:
        return self._actor.sql.unsafe(query, *args)
