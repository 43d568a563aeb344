"""Repair a directory that nobody owns: recover it, and move aside what does not fit.

Nothing is deleted but what recovery deletes. `lost+found` in the directory gets files that no
actor has, database files that are damaged, and, where the loss is accepted, the segments of the
journal with damage in them or behind it. A repair that was cut is repeated.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from storage.disk import Disk
from storage.doctor.examine import LOST, Examination, owned
from storage.doctor.report import Report
from storage.doctor.scan import Scan
from storage.errors import JournalCorrupt
from storage.journal import Journal
from storage.layout import Layout
from storage.limits import JournalLimits
from storage.record import Record
from storage.recovery import recover
from storage.replica.lineage import NAME as LINEAGE
from storage.segment import Segment

Before = Callable[[Sequence[Record]], None]


def repair(
    root: Path | str,
    disk: Disk | None = None,
    *,
    accept_loss: bool = False,
    before: Before = lambda records: None,
) -> Report:
    """Recover the directory and move aside what does not fit; what is there afterwards, and
    what was done.

    `JournalCorrupt` if acknowledged records are damaged, and nothing was changed; with
    `accept_loss` everything before the damage is kept, and `done` says which sequences are
    lost. `before` is as for `recover`. `StateInUse`, `StateFormat`: as for `examine`. OSError:
    it was not finished; repeat it.
    """
    with owned(root, disk) as (layout, disk):
        found = Examination(layout, disk)
        work = _Repair(layout, disk)
        if found.scan.damaged or found.no_journal:
            work.give_up(found.scan, accept_loss=accept_loss)
        recover(disk, layout, before, JournalLimits()).close()
        work.done.append("recovered the journal")
        found = Examination(layout, disk)
        for path in found.orphans:
            work.aside(path, "no actor has it")
        for path in found.broken:
            work.aside(path, "it is damaged")
            wal = path.with_name(path.name + "-wal")
            if wal.exists():
                work.aside(wal, "it goes with it")
        return Examination(layout, disk).report(tuple(work.done))


def sweep(root: Path | str) -> int:
    """Remove large contents that no file names, and no past leads to (see `storage.sweep`); how
    many. Opens and closes the directory. A replica's are left to whoever holds its lease."""
    from storage.store import Store
    from storage.sweep import sweep_now

    if (Path(root) / LINEAGE).exists():
        return 0
    store = Store.open(root)
    try:
        return sweep_now(store)
    finally:
        store.close()


class _Repair:
    """Changes, and what is said of them."""

    def __init__(self, layout: Layout, disk: Disk) -> None:
        self.layout = layout
        self.disk = disk
        self.done: list[str] = []

    def aside(self, path: Path, why: str, *, copy: bool = False) -> None:
        """Move a file (or copy it) to `lost+found`, durably."""
        folder = self.layout.root / LOST
        folder.mkdir(exist_ok=True)
        name = str(path.relative_to(self.layout.root))
        target = folder / name.replace("/", "-")
        number = 0
        while target.exists():
            number += 1
            target = folder / f"{name.replace('/', '-')}.{number}"
        if copy:
            shutil.copyfile(path, target)
            self._sync(target)
        else:
            self.disk.rename(path, target)
            self.disk.sync_directory(path.parent)
        self.disk.sync_directory(folder)
        self.disk.sync_directory(self.layout.root)
        self.done.append(f"{'copied' if copy else 'moved'} {name} to {LOST}/{target.name}: {why}")

    def _sync(self, path: Path) -> None:
        fd = self.disk.open(path, 0)
        try:
            self.disk.sync(fd)
        finally:
            self.disk.close(fd)

    def give_up(self, scan: Scan, *, accept_loss: bool) -> None:
        """Cut the journal where its damage begins."""
        state = scan.state()
        if not accept_loss:
            raise JournalCorrupt(
                f"{self.layout.journal}: {_said(scan)}",
                hint="copy the directory first; then accept the loss, or restore the journal",
                path=str(self.layout.journal),
                sequence=scan.end,
            )
        for path in scan.behind:
            self.aside(path, "it is damaged, or behind damage", copy=True)
        self._replace(scan)
        if state.lost is not None:
            first, last = state.lost
            known = f"to {last}" if last else "on, as far as they went"
            self.done.append(f"gave up the records from {first} {known}")

    def _replace(self, scan: Scan) -> None:
        """A segment that holds what is kept of the last one, before those with damage go."""
        epoch = 1 + scan.epoch
        folder, disk = self.layout.journal, self.disk
        if scan.chain:
            last = scan.chain[-1]
            first, previous, records = last.header.first, last.header.previous, last.records
        else:
            first, previous, records = scan.newest + 1, 0, []
        Journal(disk, folder, epoch, first - 1, previous, records=records).close()
        for path in scan.behind:
            segment = Segment(disk, path)
            try:
                segment.void()
            finally:
                segment.close()


def _said(scan: Scan) -> str:
    return "; ".join(one.what for one in scan.findings) or "there is no readable segment"
