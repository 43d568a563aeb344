"""Messages as rows: packed, large ones in slices, each with a mark of its own.

The mark is a random number that a row has from its insertion on. A message that an undone step
took away may come again under the same id and number, but not with the same mark: whoever keeps
the parsed message beside its mark (see history.py) can see by one look whether it is still there.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_ai import messages as m

from facets.agents.errors import BadMessages, MessageTooLarge

if TYPE_CHECKING:
    from facets.actor import Actor

LARGEST = 64 << 20
"""Bytes of one message as JSON: half of what one statement may read."""
SLICE = 1 << 20
"""Characters of one slice. A row holds a body, or none if it is in slices."""
WORDS = 64 << 10
"""Characters of its text that search looks at."""
_adapter = m.ModelMessagesTypeAdapter


@dataclass(frozen=True, slots=True)
class Message:
    """A message with its place in the tree. Those of one agent may share the `message`: do not
    change it."""

    id: str
    parent: str | None
    message: m.ModelMessage
    at: float
    """Seconds since 1970 when it was appended."""


def insert(actor: Actor, id: str, parent: str | None, message: m.ModelMessage) -> None:
    """A row, its slices and its words for search, in the current step; `MessageTooLarge`."""
    body, words = packed(message), said(message)[:WORDS]
    size = len(body)
    if size > LARGEST:
        raise MessageTooLarge(
            f"message {id!r} has {size} characters of JSON; {LARGEST} is the most",
            name=id,
            size=size,
            limit=LARGEST,
        )
    sql = actor.sql.unsafe
    seq = sql(
        "insert into agent_messages(id, parent, kind, body, said, at, mark) "
        "values (?, ?, ?, ?, ?, ?, ?) returning seq",
        id,
        parent,
        message.kind,
        body if size <= SLICE else "",
        words,
        actor._active().node.host.clock.now(),
        new_mark(),
    ).value()
    for place, start in enumerate(range(0, size, SLICE) if size > SLICE else ()):
        part = body[start : start + SLICE]
        sql("insert into agent_slices(message, place, body) values (?, ?, ?)", seq, place, part)
    sql("insert into agent_search(rowid, said) values (?, ?)", seq, words)


def new_mark() -> int:
    """What no other row has."""
    return secrets.randbits(62)


def bodies(actor: Actor, rows: Sequence[Any]) -> list[m.ModelMessage]:
    """The messages of rows that have `seq` and `body`, parsed at once: it is a third faster."""
    texts = [row.body or _joined(actor, row.seq) for row in rows]
    return unpacked("[" + ",".join(texts) + "]") if texts else []


def _joined(actor: Actor, seq: int) -> str:
    rows = actor.sql.unsafe("select body from agent_slices where message = ? order by place", seq)
    return "".join(row.body for row in rows)


def packed(message: m.ModelMessage) -> str:
    """As JSON."""
    return _adapter.dump_json([message]).decode()[1:-1]


def unpacked(text: str | bytes) -> list[m.ModelMessage]:
    """The messages of a JSON array; `BadMessages`."""
    try:
        return _adapter.validate_json(text)
    except ValidationError as error:
        raise BadMessages(f"these are no messages of pydantic-ai: {error}") from error


def exported(messages: Sequence[m.ModelMessage]) -> bytes:
    """A JSON array of messages, as pydantic-ai writes and reads it."""
    return _adapter.dump_json([*messages])


def said(message: m.ModelMessage) -> str:
    """The text of a message, for search and comparison."""
    return "\n".join(filter(None, (text_of(part) for part in message.parts)))


def text_of(part: Any) -> str:
    """The text of one part of a message; "" if it has none."""
    if isinstance(part, m.ToolCallPart):
        return f"{part.tool_name} {part.args_as_json_str()}"
    if isinstance(part, m.ToolReturnPart):
        return part.model_response_str()
    content = getattr(part, "content", None)
    if isinstance(content, str):
        return content
    texts: Sequence[Any] = content if isinstance(content, (list, tuple)) else ()
    return "\n".join(one for one in texts if isinstance(one, str))


def answers(message: m.ModelMessage) -> bool:
    """Whether it has results of calls that the message before it made."""
    return any(isinstance(part, m.ToolReturnPart) for part in message.parts)
