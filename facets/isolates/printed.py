"""The newest lines that an isolate printed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import final

LINES = 200
LINE = 4 << 10
"""Characters of a line that are kept; of a longer one, the last."""


@final
class Printed:
    """Whole lines, and at the end of each stream what is not a line yet. Bounded."""

    __slots__ = ("_lines", "_rest")

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LINES)
        self._rest: dict[str, str] = {}

    def add(self, stream: str, text: str) -> None:
        """Take what was printed next."""
        *lines, rest = (self._rest.get(stream, "") + text).split("\n")
        self._rest[stream] = rest[-LINE:]
        self._lines.extend([line[-LINE:] for line in lines[-LINES:]])

    def __iter__(self) -> Iterator[str]:
        """The lines, oldest first."""
        return iter(self._lines)
