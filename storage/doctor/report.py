"""What the doctor says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class Severity(IntEnum):
    """How bad it is."""

    NOTE = 1
    """As it may be after a crash; opening the directory deals with it."""
    WARNING = 2
    """Space that nobody uses, or files that do not belong there. No data is missing."""
    ERROR = 3
    """Data is missing or damaged."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it is after an orderly end."""

    severity: Severity
    path: str
    """Relative to the directory."""
    what: str
    hint: str = ""
    """What to do about it; "" where there is nothing to do."""


@dataclass(frozen=True, slots=True)
class JournalState:
    """What recovery would find in the journal."""

    segments: int
    """In use."""
    epoch: int
    """The highest; 0 without a segment."""
    first: int
    last: int
    """The records that would be kept; `last` is before `first` if there are none."""
    torn: int
    """Bytes behind them that a crash left, and nobody was told to be durable."""
    damaged: bool
    """Acknowledged records are damaged or missing: recovery refuses."""
    lost: tuple[int, int] | None = None
    """The first and last sequence known to be damaged or behind damage; the last is 0 where
    nothing intact tells it."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes on the disk."""

    databases: int = 0
    wal: int = 0
    """Scratch of the last process."""
    journal: int = 0
    history: int = 0
    objects: int = 0
    other: int = 0
    """Staging, and what was set aside."""


@dataclass(frozen=True, slots=True)
class Report:
    """The state of a directory, as it is after recovery."""

    root: Path
    actors: int
    """Rows of the catalogue."""
    databases: int
    """How many were examined."""
    journal: JournalState
    sizes: Sizes
    findings: tuple[Finding, ...]
    """The worst first."""
    done: tuple[str, ...] = ()
    """What a repair did, in order."""

    @property
    def sound(self) -> bool:
        """Whether no data is missing or damaged."""
        return all(one.severity < Severity.ERROR for one in self.findings)
