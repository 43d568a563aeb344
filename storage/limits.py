"""Limits of one actor's database, and of its history."""

from __future__ import annotations

from dataclasses import dataclass

PAGE_SIZE = 4096
MAX_FRAMES = 256
"""Frames a -wal may hold before a checkpoint: reopening costs 0.36 ms at 100, 2.7 at 1,000."""


@dataclass(frozen=True, slots=True)
class StorageLimits:
    """What one actor's database may hold and one statement may do.

    Every limit raises its own error in the step that crosses it; earlier steps stay.
    """

    database: int = 10 << 30
    """Bytes of one database. Over it: `StorageFull`."""
    value: int = 16 << 20
    """Bytes of one value or row. Over it: `StatementTooLong`."""
    statement: int = 1 << 20
    """Bytes of SQL text. Over it: `StatementTooLong`."""
    rows: int = 1_000_000
    """Rows one statement may return. Over it: `TooManyRows`."""
    seconds: float | None = None
    """Time one statement may take; None for code that is trusted. Over it: `StatementTimeout`."""


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """How much of the past is kept. Over a limit the oldest goes first; nothing is refused.

    Bookmarks older than what is kept raise `BookmarkGone`. Whole files are dropped, so a
    little more than `age` may be there.
    """

    age: float = 7 * 86400.0
    """Seconds that every bookmark stays, if the sizes allow."""
    size: int = 1 << 30
    """Bytes of one tree's history."""
    host: int = 16 << 30
    """Bytes of all histories of a host."""
