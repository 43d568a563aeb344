"""What a model is shown of a branch: its messages, with compacted stretches as their summaries.

Each step of a turn reads the whole history. So what was parsed stays in memory, and the next read
walks from the end of the branch only to the message where the last one ended. No step has to tell
that it was undone: the row of that message is compared by its mark, and the tree above a row
cannot change while the row is there. The same holds for compactions and the newest of their rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_ai import messages as m

from facets.agents import messages as rows_of

if TYPE_CHECKING:
    from facets.actor import Actor

BOUND = 32 << 20
"""Characters of JSON whose messages are kept parsed, for each agent that is awake."""

_COLUMNS = """m.seq, m.id, m.mark, o.seq, case when o.seq is null then m.parent else o.before end"""
_OVERLAY = """left join agent_overlays o on o.seq =
    (select max(seq) from agent_overlays where last = m.id)"""
_WALK = f"""with recursive line(n, seq, id, mark, overlay, next) as (
        select 0, {_COLUMNS} from agent_messages m {_OVERLAY} where m.id = ?
        union all
        select n + 1, {_COLUMNS} from line join agent_messages m on m.id = line.next {_OVERLAY}
        where line.id is not ?)
    select line.seq, line.id, line.mark, overlay, o.summary, coalesce(o.first, line.id) as first,
        case when overlay is null then m.body end as body
    from line join agent_messages m on m.seq = line.seq
    left join agent_overlays o on o.seq = overlay
    order by n desc"""  # noqa: S608 - of our own texts


@dataclass(frozen=True, slots=True)
class Shown:
    """A message of a history, with the stretch of the tree that it stands for."""

    first: str
    last: str
    message: m.ModelMessage
    summary: bool
    """Whether it stands for them, which may be a single one, as a summary."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A history as it was read last."""

    tail: str
    mark: int
    overlays: tuple[int, int]
    messages: list[m.ModelMessage]
    size: int


class Histories:
    """The histories of one agent, while it is awake."""

    __slots__ = ("_actor", "_lines", "bound")

    def __init__(self, actor: Actor, bound: int = BOUND) -> None:
        self._actor = actor
        self._lines: dict[str, _Line] = {}
        self.bound = bound

    def read(self, branch: str, end: str | None) -> list[m.ModelMessage]:
        """The history that ends with message `end`; `branch` is what it is remembered by."""
        line = self._lines.pop(branch, None)
        overlays = self._newest_overlay()
        if line is not None and line.overlays != overlays:
            line = None
        rows = self._walk(end, None if line is None else line.tail)
        if line is not None and rows and rows[0].id == line.tail:
            if rows[0].mark == line.mark:
                rows = rows[1:]
            else:
                line, rows = None, self._walk(end, None)
        else:
            line = None
        return self._remember(branch, line, rows, overlays)

    def shown(self, end: str | None) -> list[Shown]:
        """The same with what each message stands for. Nothing of it is remembered."""
        rows = self._walk(end, None)
        pairs = zip(rows, self._parsed(rows), strict=True)
        return [Shown(r.first, r.id, message, r.overlay is not None) for r, message in pairs]

    def _remember(
        self, branch: str, line: _Line | None, rows: list[Any], overlays: tuple[int, int]
    ) -> list[m.ModelMessage]:
        found = [] if line is None else line.messages
        size = 0 if line is None else line.size
        if rows:
            found = [*found, *self._parsed(rows)]
            size += sum(len(row.body or row.summary or "") or rows_of.SLICE for row in rows)
            line = _Line(rows[-1].id, rows[-1].mark, overlays, found, size)
        if line is not None and size <= self.bound:
            self._lines[branch] = line
            while sum(one.size for one in self._lines.values()) > self.bound:
                del self._lines[next(iter(self._lines))]  # the one that was read longest ago
        return [*found]

    def _parsed(self, rows: list[Any]) -> list[m.ModelMessage]:
        parsed = iter(rows_of.bodies(self._actor, [row for row in rows if row.overlay is None]))
        return [
            next(parsed) if row.overlay is None else m.ModelRequest.user_text_prompt(row.summary)
            for row in rows
        ]

    def _walk(self, end: str | None, stop: str | None) -> list[Any]:
        found: list[Any] = self._actor.sql.unsafe(_WALK, end, stop).all()
        return found

    def _newest_overlay(self) -> tuple[int, int]:
        row = self._actor.sql.unsafe(
            "select seq, mark from agent_overlays order by seq desc limit 1"
        ).first()
        return (0, 0) if row is None else (row.seq, row.mark)
