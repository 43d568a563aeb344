"""Sessions: the messages of an agent as a tree, in its own database.

A message is a row that never changes and is never deleted. A branch is a name for the newest of
a line of messages, each of which knows the one before it. A compaction is a row, too: it says
that a stretch of messages reads as a summary wherever both its ends are part of a history.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic_ai import messages as m

from facets.agents.errors import BranchTaken, MessageDiffers, NoSuchMessage, SplitsToolCall

if TYPE_CHECKING:
    from facets.actor import Actor

MAIN = "main"
"""The branch that is meant when none is named."""
ATTACHMENTS = "/attachments"
_one = m.ModelMessagesTypeAdapter


@dataclass(frozen=True, slots=True)
class Message:
    """A message with its place in the tree."""

    id: str
    parent: str | None
    message: m.ModelMessage
    at: float
    """Seconds since 1970 when it was appended."""


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

    __slots__ = ("_actor",)

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    # -- messages -------------------------------------------------------------------------

    def append(
        self, message: m.ModelMessage | str, *, id: str | None = None, branch: str = MAIN
    ) -> str:
        """Put a message at the end of a branch, which begins with that if it is new; its id.

        Text is a user's prompt. Idempotent by `id`: a message that is there already stays where it
        is; `MessageDiffers` if it says something else.
        """
        if isinstance(message, str):
            message = m.ModelRequest.user_text_prompt(message)
        name, text = id or uuid4().hex, said(message)
        found = self._sql("select kind, said from agent_messages where id = ?", name).first()
        if found is not None:
            if (found.kind, found.said) != (message.kind, text):
                raise MessageDiffers(f"message {name!r} says something else", name=name)
            return name
        self._add(name, self.head(branch), message, text)
        self._sql(
            "insert into agent_branches values (?, ?) "
            "on conflict do update set head = excluded.head",
            branch,
            name,
        )
        return name

    def _add(self, name: str, parent: str | None, message: m.ModelMessage, text: str) -> None:
        body = _one.dump_json([message]).decode()
        seq = self._sql(
            "insert into agent_messages(id, parent, kind, body, said, at) values (?, ?, ?, ?, ?, ?)"
            " returning seq",
            name,
            parent,
            message.kind,
            body,
            text,
            self._actor._active().node.host.clock.now(),
        ).value()
        self._sql("insert into agent_search(rowid, said) values (?, ?)", seq, text)

    def get(self, id: str) -> Message:
        """One message; `NoSuchMessage`."""
        row = self._sql("select id, parent, body, at from agent_messages where id = ?", id).first()
        if row is None:
            raise NoSuchMessage(f"there is no message {id!r}", name=id)
        return Message(row.id, row.parent, _one.validate_json(row.body)[0], row.at)

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
        end = self.head(branch) if until is None else self.get(until).id
        rows = self._sql(
            """with recursive line(depth, seq, parent) as (
                select 0, seq, parent from agent_messages where id = ?
                union all
                select depth + 1, m.seq, m.parent from line join agent_messages m
                on m.id = line.parent)
            select m.id, m.parent, m.body, m.at from line join agent_messages m using (seq)
            order by depth desc""",
            end,
        ).all()
        if not rows:
            return []
        bodies = "[" + ",".join(row.body[1:-1] for row in rows) + "]"
        read = _one.validate_json(bodies)
        return [
            Message(row.id, row.parent, one, row.at) for row, one in zip(rows, read, strict=True)
        ]

    def history(self, branch: str = MAIN, *, until: str | None = None) -> list[m.ModelMessage]:
        """The same as a model is shown it: stretches that were compacted are their summaries."""
        line = self.path(branch, until=until)
        places = {one.id: at for at, one in enumerate(line)}
        shown: dict[int, m.ModelMessage] = {at: one.message for at, one in enumerate(line)}
        covered: set[int] = set()
        overlays = self._sql("select first, last, summary from agent_overlays order by seq desc")
        for row in overlays if line else ():
            first, last = places.get(row.first), places.get(row.last)
            if first is None or last is None or covered & {first, last}:
                continue
            stretch = set(range(first, last + 1))
            for at in stretch:
                shown.pop(at, None)
            covered |= stretch
            shown[first] = m.ModelRequest.user_text_prompt(row.summary)
        return [shown[at] for at in sorted(shown)]

    # -- compaction, search, attachments --------------------------------------------------

    def compact(
        self, summary: str, *, last: str, first: str | None = None, branch: str = MAIN
    ) -> None:
        """Let the messages from `first` (that of the branch) to `last` read as `summary`, in every
        history that has both. Nothing is deleted: `path` and `search` show all. A later compaction
        may cover an earlier one.

        `NoSuchMessage` if the branch does not have both in that order; `SplitsToolCall`.
        """
        line = self.path(branch)
        ids = [one.id for one in line]
        begin = ids[0] if first is None and ids else first
        if begin not in ids or last not in ids[ids.index(begin) :]:
            raise NoSuchMessage(f"branch {branch!r} has no such stretch", name=last)
        start, end = ids.index(begin), ids.index(last)
        edges = [line[start], *line[end + 1 : end + 2]]
        if any(_answers(one.message) for one in edges):
            raise SplitsToolCall("a tool call and its result must stay together", name=last)
        self._sql(
            "insert into agent_overlays(first, last, summary) values (?, ?, ?)",
            begin,
            last,
            summary,
        )

    def search(self, words: str, *, limit: int = 10) -> list[Found]:
        """Messages of all branches that have all these words, the best first."""
        query = " ".join('"' + word.replace('"', '""') + '"' for word in words.split())
        if not query:
            return []
        rows = self._sql(
            "select m.id, m.kind, snippet(agent_search, 0, '[', ']', '...', 24) as text "
            "from agent_search join agent_messages m on m.seq = agent_search.rowid "
            "where agent_search match ? order by rank limit ?",
            query,
            limit,
        )
        return [Found(row.id, row.kind, row.text) for row in rows]

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


def said(message: m.ModelMessage) -> str:
    """The text of a message, for search and comparison."""
    return "\n".join(filter(None, (_said(part) for part in message.parts)))


def _said(part: Any) -> str:
    if isinstance(part, m.ToolCallPart):
        return f"{part.tool_name} {part.args_as_json_str()}"
    if isinstance(part, m.ToolReturnPart):
        return part.model_response_str()
    content = getattr(part, "content", None)
    if isinstance(content, str):
        return content
    texts: Sequence[Any] = content if isinstance(content, (list, tuple)) else ()
    return "\n".join(one for one in texts if isinstance(one, str))


def _answers(message: m.ModelMessage) -> bool:
    """Whether it has results of calls that the message before it made."""
    return any(isinstance(part, m.ToolReturnPart) for part in message.parts)
