"""A runtime that leaves nothing behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from actors.limits import IsolateLimits, TimerLimits
from actors.local import LocalRuntime
from actors.quotas.quota import Quota
from actors.testing import VirtualClock
from facets.testing.crashing import crash
from facets.testing.scratch import Scratch
from storage.disk import Disk
from storage.limits import FileLimits, HistoryLimits, JournalLimits, StorageLimits


class MemoryRuntime(LocalRuntime):
    """A `LocalRuntime` in memory, for tests: the same code over files that are never on a disk.

    The state lives as long as this object: `close` and `open` again are a restart, `crash` is the
    death of the process and a start after it. Nothing is left when the object is gone, or the
    process ends (see `Scratch`).

    Time stands still until a test moves `clock`: `await runtime.clock.run(60)` jumps from one
    thing that is due to the next. `disk` may be a `FaultyDisk`. The other arguments are those of
    `LocalRuntime`.
    """

    def __init__(
        self,
        *,
        clock: VirtualClock | None = None,
        disk: Disk | None = None,
        idle: float = 60.0,
        open_databases: int = 256,
        limits: StorageLimits | None = None,
        journal: JournalLimits | None = None,
        history: HistoryLimits | None = None,
        files: FileLimits | None = None,
        isolates: IsolateLimits | None = None,
        quota: Quota | None = None,
        timers: TimerLimits | None = None,
        env: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.clock = clock or VirtualClock()
        self._scratch = Scratch()
        super().__init__(
            self._scratch.path / "state",
            clock=self.clock,
            disk=disk,
            idle=idle,
            open_databases=open_databases,
            limits=limits,
            journal=journal,
            history=history,
            files=files,
            isolates=isolates,
            quota=quota,
            timers=timers,
            env=env,
        )

    async def crash(self, disk: Disk | None = None) -> None:
        """Die as `crash` says, and start again on what is left, with this disk from now on."""
        await crash(self)
        self._options = replace(self._options, disk=disk)
        await self.open()
