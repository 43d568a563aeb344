"""What waits to go into an isolate with the next pump."""

from __future__ import annotations

from typing import Any, final

import msgspec

from facets.isolates.codec import raw


@final
class Inbox:
    """Messages in order, each packed as it comes, so that what they take is known."""

    __slots__ = ("_messages", "size")

    def __init__(self) -> None:
        self._messages: list[msgspec.Raw] = []
        self.size = 0
        """Bytes, attachments not counted."""

    def __bool__(self) -> bool:
        return bool(self._messages)

    def put(self, message: list[Any]) -> None:
        """Append a message, lowered already."""
        packed = raw(message)
        self.size += len(packed)
        self._messages.append(msgspec.Raw(packed))

    def take(self, now: float) -> list[Any]:
        """The header of a pump at this time, with all of them."""
        header = [now, *self._messages]
        self._messages.clear()
        self.size = 0
        return header
