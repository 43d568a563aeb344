"""Recovery: from what a dead process left to database files that hold every durable commit.

    1  read the segments in order, up to the torn tail of the last one
    2  write the kept records of the last segment to a new one, of a new epoch, header last, and
       sync: the tail that counted because it was readable is now durable, and a crash from here
       on finds the same records. The new segment counts in place of the old one as soon as its
       header is there, so it must have all of them by then
    3  lay the page images over the files; sync the files and their directories
    4  void the old segments, oldest first, and go on with an empty one

Every step can be cut anywhere and repeated. A file that a kept record created is rebuilt from
the template and never trusted; the -wal of a touched file is scratch of the dead process and is
removed. Files that no record names keep their -wal until their first use (see `Store.adopt`).
What lies in `staging` belongs to nobody and is removed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from storage import record
from storage.disk import Disk
from storage.errors import JournalCorrupt
from storage.journal import Journal
from storage.layout import Layout
from storage.limits import PAGE_SIZE, JournalLimits
from storage.record import Entry, Record
from storage.segment import Header, Segment, read_header, read_records
from storage.syncing import sync_directories, sync_files
from storage.template import template


@dataclass(slots=True)
class Found:
    """A segment in use, as it was read."""

    path: Path
    header: Header
    records: list[Record]

    def joins(self, after: Header) -> bool:
        """Whether that segment begins where this one ends."""
        crc = self.records[-1].crc if self.records else self.header.crc
        return (self.header.first + len(self.records), crc) == (after.first, after.previous)


Before = Callable[[Sequence[Record]], None]


def recover(disk: Disk, layout: Layout, before: Before, limits: JournalLimits) -> Journal:
    """The journal of a directory, ready for new records; the database files are as it says.

    `before` is called with the records before they are laid over the files, when they are
    durable: what must look at the old pages does it there.
    """
    folder = layout.journal
    found = read_segments(disk, folder)
    disk.sync_directory(folder)  # a process that was killed may have left a name undurable
    spares = _unused(disk, folder, found)
    if not found:
        if any(layout.databases.iterdir()):
            raise JournalCorrupt(f"{folder} has no readable segment", path=str(folder))
        return Journal(disk, folder, 1, 0, 0, spares, limits)
    newest = found[-1].header
    epoch = 1 + max(one.header.epoch for one in found)
    tail = found[-1].records
    last, previous = newest.first - 1, newest.previous
    journal = Journal(disk, folder, epoch, last, previous, spares, limits, tail)
    try:
        records = [one for segment in current(found) for one in segment.records]
        before(records)
        overlay(disk, layout, records)
        for one in found:
            journal.adopt([_voided(disk, one.path)])
        if records:
            journal.rotate()
    except BaseException:
        journal.close()
        raise
    return journal


def read_segments(disk: Disk, folder: Path) -> list[Found]:
    """The segments in use, by first sequence and epoch; `JournalCorrupt` if they do not join.

    Two may begin at one sequence: a recovery was cut between its steps 2 and 4, and the one of
    the higher epoch counts.
    """
    found: list[Found] = []
    for path in sorted(folder.glob("*.seg")):
        header = read_header(disk.read_file(path), path)
        if header is not None:
            found.append(Found(path, header, []))
    found.sort(key=lambda one: (one.header.first, one.header.epoch))
    # Of the others nothing is needed, so it does not matter what they hold.
    for one in current(found):
        one.records = read_records(disk.read_file(one.path), one.path, one.header)
    _check_joined(current(found), folder)
    return found


def current(found: Sequence[Found]) -> list[Found]:
    """Those that count, of segments in the order of first sequence and epoch."""
    by_first = {one.header.first: one for one in found}
    return list(by_first.values())


def _check_joined(segments: Sequence[Found], folder: Path) -> None:
    for one, after in pairwise(segments):
        end = one.header.first + len(one.records)
        if not one.joins(after.header):
            raise JournalCorrupt(
                f"{folder}: {one.path.name} ends before record {end}, and {after.path.name}, "
                f"which begins with {after.header.first}, says that it was durable",
                path=str(folder),
                sequence=end,
            )


def _voided(disk: Disk, path: Path) -> Segment:
    segment = Segment(disk, path)
    try:
        segment.void()
    except OSError:
        segment.close()
        raise
    return segment


def _unused(disk: Disk, folder: Path, found: Sequence[Found]) -> list[Segment]:
    used = {one.path for one in found}
    # Voided again: the process before may have been killed in the middle of it, and what is read
    # as void here is so in the page cache only.
    return [_voided(disk, path) for path in sorted(folder.glob("*.seg")) if path not in used]


def fold(records: Iterable[Record]) -> dict[int, Folded]:
    """What the records say, by uid."""
    folded: dict[int, Folded] = {}
    for one in records:
        for entry in one.entries():
            if entry.kind not in record.OF_FILES:
                continue
            folded.setdefault(entry.uid, Folded()).add(entry)
    return folded


def overlay(disk: Disk, layout: Layout, records: Iterable[Record]) -> None:
    """Bring the files to the state after the last record, and sync them."""
    folded = fold(records)
    directories = {layout.root}
    written: list[Path] = []
    for uid, file in folded.items():
        path = file.write(disk, layout, uid)
        if path is not None:
            written.append(path)
        directories.add(layout.folder(uid))
    sync_files(disk, written)
    directories.add(layout.databases)
    sync_directories(disk, [one for one in directories if one.exists()])


class Folded:
    """What the records say about one database, folded together."""

    __slots__ = ("created", "deleted", "generation", "pages", "size", "stale")

    def __init__(self) -> None:
        self.created = False
        self.deleted = False
        self.generation = 1
        self.size = 0
        self.pages: dict[int, bytes] = {}
        self.stale: set[int] = set()
        """Generations that another one replaced."""

    def add(self, entry: Entry) -> None:
        """The next thing that is said about it."""
        self.generation = entry.generation
        if entry.replaces:
            self.stale.add(entry.replaces)
        if entry.kind != record.PAGES:
            self.created = entry.kind == record.CREATE
            self.deleted = entry.kind == record.DELETE
            self.size = 0
            self.pages = {}
        elif entry.commit is not None:
            self.size = entry.commit.size
            self.pages.update(entry.commit.pages)

    def write(self, disk: Disk, layout: Layout, uid: int) -> Path | None:
        """Bring its file to that state; the file, which is not synced, if it has one."""
        for generation in self.stale - {self.generation}:
            layout.remove(disk, uid, generation)
        path = layout.path(uid, self.generation)
        if self.deleted:
            layout.remove(disk, uid, self.generation)
            return None
        if self.created:
            path.parent.mkdir(parents=True, exist_ok=True)
            disk.write_file(path, template(), sync=False)  # whatever it held is cut off
        elif not path.exists():
            return None  # the file is gone; whoever opens it is told so
        disk.unlink(path.with_name(path.name + "-wal"))
        fd = disk.open(path, os.O_RDWR)
        try:
            self._write_pages(disk, fd)
        finally:
            disk.close(fd)
        return path

    def _write_pages(self, disk: Disk, fd: int) -> None:
        for number, page in self.pages.items():
            if number <= self.size:
                disk.write(fd, page, (number - 1) * PAGE_SIZE)
        if self.size:
            disk.truncate(fd, self.size * PAGE_SIZE)
