"""Limits of one actor's database and files."""

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
class JournalLimits:
    """How much a host writes ahead of its database files."""

    segment: int = 16 << 20
    """Bytes after which the next segment begins."""
    size: int = 64 << 20
    """Bytes of records kept. From half of it on databases are checkpointed; over it, the runtime
    holds new calls and the next steps of running ones until there is room."""
    backlog: int = 8 << 20
    """Bytes queued in memory. Over it, the same; and a single step that queues more waits."""


@dataclass(frozen=True, slots=True)
class FileLimits:
    """What one actor's file system may hold. Crossing one raises before anything is changed."""

    total: int = 4 << 30
    """Bytes of all files, each counted in full. Over it: `FilesQuota`."""
    file: int = 1 << 30
    """Bytes of one file. Over it: `FileTooLarge`."""
    entries: int = 100_000
    """Files, directories and links. Over it: `FilesQuota`."""
    inline: int = 1 << 20
    """Bytes of one file that may stay in the database where there is an object store."""
