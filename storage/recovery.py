"""Recovery: from what a dead process left to database files that hold every durable commit.

    1  read the current segment up to its torn tail
    2  write the kept records to the other slot, a new epoch, and sync: the tail that counted
       because it was readable is now durable, and a crash from here on finds the same records
    3  lay the page images over the files, sync the files and their directories
    4  begin an empty segment

Every step can be cut anywhere and repeated. A file that a kept record created is rebuilt from
the template and never trusted; the -wal of a touched file is scratch of the dead process and is
removed. Files that no record names keep their -wal until their first use (see `Store.adopt`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from storage import record
from storage.database import remove
from storage.errors import JournalCorrupt
from storage.journal import Journal, slot_path, sync_directory
from storage.limits import PAGE_SIZE
from storage.record import Entry, Record
from storage.segment import Header, read_header, read_records
from storage.template import template

Locate = Callable[[int], Path]


def recover(root: Path, locate: Locate) -> Journal:
    """The journal of a directory, ready for new records; the files are as it says."""
    current = _current(root)
    if current is None:
        return Journal.begin(root, 0, 1, (), 0)
    slot, header = current
    records = read_records(slot_path(root, slot), header)
    last = header.first + len(records) - 1
    if records:
        journal = Journal.begin(root, 1 - slot, header.epoch + 1, records, last)
        sync_directory(root)
        overlay(records, locate)
        journal.rotate()
        return journal
    return Journal.begin(root, 1 - slot, header.epoch + 1, (), last)


def _current(root: Path) -> tuple[int, Header] | None:
    headers = [(slot, read_header(slot_path(root, slot))) for slot in (0, 1)]
    found = [(slot, header) for slot, header in headers if header is not None]
    if found:
        return max(found, key=lambda one: one[1].epoch)
    if any((root / "db").iterdir()):
        raise JournalCorrupt(f"{root} has databases but no readable journal", path=str(root))
    return None


def overlay(records: Sequence[Record], locate: Locate) -> None:
    """Bring the files to the state after the last record, and sync them."""
    files: dict[int, _File] = {}
    for one in records:
        for entry in one.entries():
            files.setdefault(entry.uid, _File()).add(entry)
    directories = set()
    for uid, file in files.items():
        path = locate(uid)
        file.write(path)
        directories.add(path.parent)
        directories.add(path.parent.parent)
    for directory in directories:
        if directory.exists():
            sync_directory(directory)


class _File:
    """What the records say about one file, folded together."""

    def __init__(self) -> None:
        self.created = False
        self.deleted = False
        self.size = 0
        self.pages: dict[int, bytes] = {}

    def add(self, entry: Entry) -> None:
        if entry.kind != record.PAGES:
            self.created = entry.kind == record.CREATE
            self.deleted = entry.kind == record.DELETE
            self.pages = {}
        elif entry.commit is not None:
            self.size = entry.commit.size
            self.pages.update(entry.commit.pages)

    def write(self, path: Path) -> None:
        if self.deleted:
            remove(path)
            return
        if self.created:
            remove(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(template())
        elif not path.exists():
            return  # the file is gone; whoever opens it is told so
        path.with_name(path.name + "-wal").unlink(missing_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            for number, page in self.pages.items():
                if number <= self.size:
                    os.pwrite(fd, page, (number - 1) * PAGE_SIZE)
            if self.pages:
                os.ftruncate(fd, self.size * PAGE_SIZE)
            os.fsync(fd)
        finally:
            os.close(fd)
