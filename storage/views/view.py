"""What all views have: a database, a mode, the methods that the mode allows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from storage.limits import StorageLimits

if TYPE_CHECKING:
    from storage.database import Database

Mode = Literal["r", "rw"]
CONFINED = StorageLimits(value=1 << 20, rows=100_000, result=16 << 20, seconds=0.25)
"""What a use of a view may do at most: it holds the loop, and results are in the host's memory."""


class View:
    """Part of one actor's state. Methods are plain, and part of the current step."""

    __slots__ = ("database", "mode")

    READS: ClassVar[tuple[str, ...]] = ()
    """Methods of every view."""
    WRITES: ClassVar[tuple[str, ...]] = ()
    """Methods of a view with mode "rw"."""

    def __init__(self, database: Database, mode: Mode) -> None:
        if mode not in ("r", "rw"):
            raise ValueError(f"a view has mode 'r' or 'rw', not {mode!r}")
        self.database = database
        self.mode = mode

    @property
    def methods(self) -> tuple[str, ...]:
        """What can be called."""
        return self.READS if self.mode == "r" else self.READS + self.WRITES

    def _writes(self) -> None:
        if self.mode != "rw":
            raise PermissionError(f"{self!r} is for reading only")

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError(f"{self!r} is a reference; it cannot be stored or pickled")


def confined(limits: StorageLimits) -> StorageLimits:
    """These limits, or those of views where they are lower."""
    return replace(
        limits,
        value=min(limits.value, CONFINED.value),
        rows=min(limits.rows, CONFINED.rows),
        result=min(limits.result, CONFINED.result),
        seconds=min(limits.seconds or math.inf, CONFINED.seconds or math.inf),
    )
