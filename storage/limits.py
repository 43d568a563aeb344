"""Limits of what one actor, and one host, may hold."""

from __future__ import annotations

from dataclasses import dataclass

PAGE_SIZE = 4096
MAX_FRAMES = 256
"""Frames a -wal may hold before a checkpoint: reopening costs 0.36 ms at 100, 2.7 at 1,000."""


@dataclass(frozen=True, slots=True)
class StorageLimits:
    """What one actor's database may hold and one statement may do.

    Every limit raises its own error in the step that crosses it; earlier steps stay. All are on
    by default. SQLite's own limits hold as well: an expression 1,000 deep, 500 terms of a UNION,
    64 tables in a join, 2,000 columns, triggers 1,000 deep. Over them: `StatementTooComplex`.
    """

    database: int = 10 << 30
    """Bytes of one database. Over it: `StorageFull`."""
    value: int = 16 << 20
    """Bytes of one value, and of one row that is stored. Over it: `ValueTooLarge`."""
    statement: int = 1 << 20
    """Bytes of SQL text. Over it: `StatementTooLong`."""
    parameters: int = 32_766
    """Parameters of one statement; SQLite allows no more. Over it: `StatementTooComplex`."""
    pattern: int = 1_000
    """Bytes of a LIKE or GLOB pattern: matching takes the product of the two lengths, and
    nothing can interrupt it. Over it: `StatementTooComplex`."""
    rows: int = 1_000_000
    """Rows one statement may return. Over it: `TooManyRows`."""
    result: int = 128 << 20
    """Bytes of memory the rows of one statement may take, about. Over it: `ResultTooLarge`."""
    seconds: float | None = 60.0
    """Time one statement may take; None for no limit. Over it: `StatementTimeout`.

    Looked at between SQLite's instructions. One sort of what was gathered is one instruction, and
    `heap` bounds it. So is one call of a function, and `instr`, `replace` and `trim` take the
    product of the lengths of their two arguments: code that is not trusted needs a small `value`
    too. With 1 MiB the longest such call takes seconds, with 16 MiB many minutes.
    """
    heap: int = 1 << 30
    """Bytes of memory SQLite may use in the whole process: page caches, sorts, and the values of
    one row. Over it: `OutOfMemory`. The limit of the newest connection counts for all.

    Sorts stay in memory, so this bounds them; in files they would fill the disk unbounded. Page
    caches take up to 2 MiB for each open database, and must fit as well.
    """


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
