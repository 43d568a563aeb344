"""Sessions: the messages of an agent as a tree, in its own database.

A message is a row that never changes and is never deleted. A branch is a name for the newest of
a line of messages, each of which knows the one before it. A compaction is a row, too: it says
that a stretch of messages reads as a summary in every history that goes on behind its end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic_ai import messages as m

from facets.agents import messages as rows_of
from facets.agents.errors import (
    BadMessages,
    BranchBusy,
    BranchTaken,
    MessageDiffers,
    NoSuchMessage,
    SplitsToolCall,
)
from facets.agents.history import Histories, Shown
from facets.agents.messages import Message, answers, said
from facets.agents.turns import Turns
from facets.agents.words import excerpt, phrases
from facets.codemode.tokens import tokens as tokens_of

if TYPE_CHECKING:
    from facets.actor import Actor

MAIN = "main"
"""The branch that is meant when none is named."""
ATTACHMENTS = "/attachments"
_LINE = """with recursive line(n, seq, parent) as (
        select 0, seq, parent from agent_messages where id = ?
        union all
        select n + 1, m.seq, m.parent from line join agent_messages m on m.id = line.parent
        limit ?)
    select m.seq, m.id, m.parent, m.kind, m.body, m.at from line join agent_messages m using (seq)
    order by n"""
"""From the end of a line back to its first message, or as many as are asked for: -1 for all."""
_WHOLE = "m.seq, m.id, m.parent, m.kind, m.body, m.at"
_KINDS = _LINE.replace(_WHOLE, "m.seq, m.id, m.kind")
_IDS = _LINE.replace(_WHOLE, "m.id")


@dataclass(frozen=True, slots=True)
class Found:
    """A message that a search found."""

    id: str
    kind: str
    """`request`: what the model is told; `response`: what it says."""
    text: str
    """Where it was found, the words in [brackets]."""


class Session:
    """`self.session`: what was said, as a tree. Changes belong to the current step."""

    __slots__ = ("_actor", "_histories")

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._histories = Histories(actor)

    # -- messages -------------------------------------------------------------------------

    def append(
        self, message: m.ModelMessage | str, *, id: str | None = None, branch: str = MAIN
    ) -> str:
        """Put a message at the end of a branch, which begins with that if it is new; its id.

        Text is a user's prompt. Idempotent by `id`: a message that is there already stays where it
        is; `MessageDiffers` if it says something else. `MessageTooLarge` over 64 MiB of JSON.
        `BranchBusy` while a turn of the branch is under way, which alone adds to it then.
        """
        if isinstance(message, str):
            message = m.ModelRequest.user_text_prompt(message)
        name = id or uuid4().hex
        if self._is_there(name, message):
            return name
        turn = Turns(self._actor).under_way(branch)
        if turn is not None:
            raise BranchBusy(
                f"turn {turn!r} of branch {branch!r} is under way", branch=branch, turn=turn
            )
        return self._add(name, message, branch)

    def go_on(self, message: m.ModelMessage, *, id: str, branch: str) -> str:
        """`append` for the turn that is under way on the branch."""
        return id if self._is_there(id, message) else self._add(id, message, branch)

    def _is_there(self, name: str, message: m.ModelMessage) -> bool:
        row = self._sql("select seq, kind, body from agent_messages where id = ?", name).first()
        if row is None:
            return False
        (found,) = rows_of.bodies(self._actor, [row])
        if (found.kind, said(found)) != (message.kind, said(message)):
            raise MessageDiffers(f"message {name!r} says something else", name=name)
        return True

    def _add(self, name: str, message: m.ModelMessage, branch: str) -> str:
        rows_of.insert(self._actor, name, self.head(branch), message)
        self._sql(
            "insert into agent_branches values (?, ?) "
            "on conflict do update set head = excluded.head",
            branch,
            name,
        )
        return name

    def get(self, id: str) -> Message:
        """One message; `NoSuchMessage`."""
        row = self._sql(
            "select seq, id, parent, body, at from agent_messages where id = ?", id
        ).first()
        if row is None:
            raise NoSuchMessage(f"there is no message {id!r}", name=id)
        return self._messages([row])[0]

    def import_messages(
        self, data: bytes | str, *, id: str | None = None, branch: str = MAIN
    ) -> list[str]:
        """Append all messages of a JSON array, as pydantic-ai writes them: all, or an error. Their
        ids, which are `id:0` and so on; idempotent like `append` if `id` is given.

        `BadMessages`; the errors of `append`.
        """
        found = rows_of.unpacked(data)
        if any(answers(one) for one in found[:1]):
            raise BadMessages("the first message has the result of a call that is not there")
        prefix = id or uuid4().hex
        with self._actor.transaction():
            return [
                self.append(one, id=f"{prefix}:{n}", branch=branch) for n, one in enumerate(found)
            ]

    def export_messages(self, branch: str = MAIN, *, until: str | None = None) -> bytes:
        """The messages of `path` as a JSON array, as pydantic-ai writes it."""
        return rows_of.exported([one.message for one in self.path(branch, until=until)])

    # -- branches -------------------------------------------------------------------------

    def head(self, branch: str = MAIN) -> str | None:
        """The id of the newest message of a branch; None if it has none, or is not there."""
        found: str | None = self._sql(
            "select head from agent_branches where name = ?", branch
        ).value(None)
        return found

    def branches(self) -> dict[str, str]:
        """The newest message of each branch, by its name."""
        return {
            row.name: row.head
            for row in self._sql("select name, head from agent_branches order by name")
        }

    def fork(self, at: str, branch: str) -> None:
        """Begin a branch behind message `at`, wherever that is; it shares all that came before.

        `NoSuchMessage`; `BranchTaken` if the branch is there and ends elsewhere.
        """
        self.get(at)
        if self.head(branch) not in (None, at):
            raise BranchTaken(f"there is a branch {branch!r} already", name=branch)
        self._sql("insert into agent_branches values (?, ?) on conflict do nothing", branch, at)

    def path(self, branch: str = MAIN, *, until: str | None = None) -> list[Message]:
        """All messages from the first to the end of a branch, or to message `until`, as they
        were appended."""
        return self._messages(self._sql(_LINE, self._end(branch, until), -1).all()[::-1])

    def batches(
        self, branch: str = MAIN, *, until: str | None = None, size: int = 100
    ) -> Iterator[list[Message]]:
        """The same, the newest first, `size` at a time: no more of them are in memory."""
        end = self._end(branch, until)
        while end is not None:
            rows = self._sql(_LINE, end, size).all()
            yield self._messages(rows)
            end = rows[-1].parent

    def recent(
        self, branch: str = MAIN, *, tokens: int | None = None, bytes: int | None = None
    ) -> list[Message]:
        """The newest messages that have at most so many tokens, about, or bytes of text, oldest
        first; none of them answers a call that is not among them."""
        found: list[Message] = []
        for batch in self.batches(branch, size=20):
            for one in batch:
                text = said(one.message)
                tokens = None if tokens is None else tokens - tokens_of(text)
                bytes = None if bytes is None else bytes - len(text.encode())
                if min(tokens or 0, bytes or 0) < 0:
                    return _from_a_beginning(found)
                found.append(one)
        return _from_a_beginning(found)

    def history(self, branch: str = MAIN, *, until: str | None = None) -> list[m.ModelMessage]:
        """The same as a model is shown it: stretches that were compacted are their summaries.

        Do not change a message that is in it: what was parsed is kept for the next reading.
        """
        return self._histories.read(branch, self._end(branch, until))

    def shown(self, branch: str = MAIN, *, until: str | None = None) -> list[Shown]:
        """The same with the stretch of messages that each one stands for."""
        return self._histories.shown(self._end(branch, until))

    def counted(self, until: str) -> tuple[int | None, int]:
        """Tokens of a history up to its last response and with it, as the provider counted them,
        and how many messages came since. None if nobody has, since the last compaction."""
        made = self._sql("select max(made) from agent_overlays").value() or 0
        for since, row in enumerate(self._sql(_KINDS, until, 8)):
            if row.kind == "response":
                response: Any = self.get(row.id).message
                counted = response.usage.total_tokens if row.seq > made else None
                return counted or None, since
        return None, 0

    def _end(self, branch: str, until: str | None) -> str | None:
        return self.head(branch) if until is None else self.get(until).id

    def _messages(self, rows: list[Any]) -> list[Message]:
        read = rows_of.bodies(self._actor, rows)
        return [
            Message(row.id, row.parent, one, row.at) for row, one in zip(rows, read, strict=True)
        ]

    # -- compaction, search, attachments --------------------------------------------------

    def compact(
        self, summary: str, *, last: str, first: str | None = None, branch: str = MAIN
    ) -> None:
        """Let the messages from `first` (that of the branch) to `last` read as `summary`, in every
        history that has both. Nothing is deleted: `path` and `search` show all. A later compaction
        may cover an earlier one; of two that overlap, the one whose end is later holds.

        `NoSuchMessage` if the branch does not have both in that order; `SplitsToolCall`.
        """
        ids = self.ids(branch)
        begin = ids[0] if first is None and ids else first
        if begin not in ids or last not in ids[ids.index(begin) :]:
            raise NoSuchMessage(f"branch {branch!r} has no such stretch", name=last)
        end = ids.index(last)
        edges = [begin, *ids[end + 1 : end + 2]]
        if any(answers(self.get(one).message) for one in edges):
            raise SplitsToolCall("a tool call and its result must stay together", name=last)
        self._sql(
            "insert into agent_overlays(first, last, summary, mark, before, made) "
            "values (?, ?, ?, ?, ?, (select max(seq) from agent_messages))",
            begin,
            last,
            summary,
            rows_of.new_mark(),
            self.get(begin).parent,
        )

    def ids(self, branch: str = MAIN, *, until: str | None = None) -> list[str]:
        """The ids of `path`."""
        rows = self._sql(_IDS, self._end(branch, until), -1).all()[::-1]
        return [row.id for row in rows]

    def search(self, words: str, *, limit: int = 10) -> list[Found]:
        """Messages of all branches that have all these words in their first 65,536 characters, the
        best first."""
        query = phrases(words)
        if not query:
            return []
        # Not `snippet`: it takes the square of how often the words are there, which a tool that
        # means harm can make a minute.
        rows = self._sql(
            "select m.id, m.kind, highlight(agent_search, 0, char(2), char(3)) as text "
            "from agent_search join agent_messages m on m.seq = agent_search.rowid "
            "where agent_search match ? order by rank limit ?",
            query,
            limit,
        )
        return [Found(row.id, row.kind, excerpt(row.text)) for row in rows]

    def attach(self, data: bytes) -> str:
        """Keep a file's content in `self.fs`; its SHA-256, by which the same content is kept
        once."""
        digest = hashlib.sha256(data).hexdigest()
        path = f"{ATTACHMENTS}/{digest}"
        if not self._actor.fs.exists(path):
            self._actor.fs.mkdir(ATTACHMENTS, parents=True, exist_ok=True)
            self._actor.fs.write(path, data)
        return digest

    def attachment(self, digest: str) -> bytes:
        """What was attached under this SHA-256; `FileMissing`."""
        return self._actor.fs.read(f"{ATTACHMENTS}/{digest}")

    def _sql(self, query: str, *args: Any) -> Any:
        return self._actor.sql.unsafe(query, *args)


def _from_a_beginning(newest_first: list[Message]) -> list[Message]:
    while newest_first and answers(newest_first[-1].message):
        newest_first.pop()
    return newest_first[::-1]
