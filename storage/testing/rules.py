"""The durability rules, each as a switch that turns it off.

A model of power losses that finds nothing proves nothing unless it finds something when a rule
is missing. `BROKEN_RULES` has a context manager for each rule: inside it storage of this
process does without. Nothing but tests may use it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import storage.recovery
import storage.segment
import storage.store
from storage.checkpoint import Checkpointer
from storage.connections import Connections
from storage.database import Database
from storage.disk import Disk
from storage.journal import Batch, Journal
from storage.layout import remove
from storage.recovery import Folded
from storage.segment import Segment
from storage.store import Store

Rule = Callable[[], AbstractContextManager[object]]


@contextmanager
def pages_move_before_they_are_durable() -> Iterator[None]:
    """A checkpoint does not wait for the journal, neither when it begins nor when it moves."""
    tend, original = Store.tend, Checkpointer._move

    def careless(self: Store, *, everything: bool = False) -> bool:
        with patch.object(self._journal, "sync", lambda: None):
            return tend(self, everything=everything)

    def move(self: Checkpointer, *args: Any) -> None:
        with patch.object(self._journal, "sync", lambda: None):
            original(self, *args)

    with patch.object(Store, "tend", careless), patch.object(Checkpointer, "_move", move):
        yield


@contextmanager
def files_are_overlaid_before_the_kept_tail_is_durable() -> Iterator[None]:
    """Recovery writes the records that it kept only after the pages that they hold."""
    recover, sync, overlay = storage.recovery.recover, Journal.sync, storage.recovery.overlay
    postponed: list[Journal] | None = None

    def late_sync(self: Journal) -> None:
        if postponed is None:
            sync(self)
        else:
            postponed.append(self)

    def late_overlay(*args: Any) -> None:
        nonlocal postponed
        overlay(*args)
        late, postponed = postponed or [], None
        for journal in late:
            sync(journal)

    def late_recover(*args: Any) -> Journal:
        nonlocal postponed
        postponed = []
        try:
            journal = recover(*args)
        finally:
            postponed = None
        sync(journal)
        return journal

    with (
        patch.object(Journal, "sync", late_sync),
        patch.object(storage.recovery, "overlay", late_overlay),
        patch.object(storage.store, "recover", late_recover),
    ):
        yield


def a_new_segment_counts_before_it_holds_what_it_replaces() -> AbstractContextManager[object]:
    """The header of a segment is written before the records behind it."""
    original = Journal.write

    def write(self: Journal, batch: Batch) -> None:
        try:
            for part in batch.parts:
                if part.header is not None:
                    part.segment.begin(part.header)
        except BaseException:
            assert self._writing is not None  # noqa: S101 - a batch was taken
            self._writing.release()
            raise
        original(self, batch)

    return patch.object(Journal, "write", write)


def a_stale_wal_is_kept() -> AbstractContextManager[object]:
    """The first use of a database leaves the -wal of the process before in place."""

    def adopt(self: Connections, path: Path) -> None:
        del self, path

    return patch.object(Connections, "adopt", adopt)


def files_are_removed_before_their_deletion_is_durable() -> AbstractContextManager[object]:
    """A deleted database loses its file at once."""
    original = Database.delete

    def delete(self: Database) -> int:
        sequence = original(self)
        store = self._store
        for one in store.chronicler.endings.waiting:
            for file in one.remains:
                remove(store.disk, file.path)
        return sequence

    return patch.object(Database, "delete", delete)


def a_segment_begins_before_the_one_before_is_durable() -> AbstractContextManager[object]:
    """The parts of a batch are written last one first."""
    original = Journal.write

    def write(self: Journal, batch: Batch) -> None:
        batch.parts.reverse()
        original(self, batch)

    return patch.object(Journal, "write", write)


def segments_are_released_before_their_databases_are_synced() -> AbstractContextManager[object]:
    """A round gives up records as soon as their pages have moved."""
    original = Checkpointer._move

    def move(self: Checkpointer, *args: Any) -> None:
        original(self, *args)
        firsts = [one.first for one in self._dirty.values()]
        self._journal.release(min(firsts, default=self._journal.committed + 1))

    return patch.object(Checkpointer, "_move", move)


def databases_are_not_synced() -> AbstractContextManager[object]:
    """A round syncs folders and no files."""
    original = Checkpointer._sync

    def sync(self: Checkpointer, files: list[Path], folders: set[Path]) -> None:
        del files
        original(self, [], folders)

    return patch.object(Checkpointer, "_sync", sync)


def names_of_new_databases_are_not_synced() -> AbstractContextManager[object]:
    """A round syncs files and no folders."""
    original = Checkpointer._sync

    def sync(self: Checkpointer, files: list[Path], folders: set[Path]) -> None:
        del folders
        original(self, files, set())

    return patch.object(Checkpointer, "_sync", sync)


def new_databases_are_trusted() -> AbstractContextManager[object]:
    """Recovery takes the file of a new database as it finds it."""
    original = Folded.write

    def write(self: Folded, *args: Any) -> None:
        self.created = False
        original(self, *args)

    return patch.object(Folded, "write", write)


def released_segments_stay_readable() -> AbstractContextManager[object]:
    """A segment that was given up keeps its header."""
    original, skipped = Segment.void, lambda self, data, at: None

    def void(self: Segment) -> None:
        with patch.object(Segment, "write", skipped):
            original(self)

    return patch.object(Segment, "void", void)


def segments_are_not_synced() -> AbstractContextManager[object]:
    """What is written to the journal waits for the kernel."""

    def careless(disk: Disk, path: Path) -> tuple[int, bool]:
        return disk.open(path, os.O_RDWR), False

    return patch.object(storage.segment, "_open_durable", careless)


def recovered_files_are_not_synced() -> AbstractContextManager[object]:
    """Recovery gives records up whose pages are in the page cache only."""
    original = Folded.write

    def write(self: Folded, disk: Disk, *args: Any) -> None:
        with patch.object(type(disk), "sync", lambda self, fd: None):
            original(self, disk, *args)

    return patch.object(Folded, "write", write)


BROKEN_RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        pages_move_before_they_are_durable,
        files_are_overlaid_before_the_kept_tail_is_durable,
        a_new_segment_counts_before_it_holds_what_it_replaces,
        a_stale_wal_is_kept,
        files_are_removed_before_their_deletion_is_durable,
        a_segment_begins_before_the_one_before_is_durable,
        segments_are_released_before_their_databases_are_synced,
        databases_are_not_synced,
        names_of_new_databases_are_not_synced,
        new_databases_are_trusted,
        released_segments_stay_readable,
        segments_are_not_synced,
        recovered_files_are_not_synced,
    )
}
"""Every rule that can be switched off, by name."""
