"""What happens to the replica while its store opens.

before recovery   claim the lease, end what older incarnations wrote; an empty directory is
                  filled from the replica
after recovery    upload what the disk has and the replica lacks: the records, if the journal
                  still has them and none binds a file, otherwise images of everything. What a
                  BIND names was uploaded by the incarnation that made it, or by none
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from storage.disk import Disk
from storage.errors import StateStale
from storage.history.bookmark import Bookmark, Mark
from storage.journal import Journal
from storage.layout import Layout
from storage.objects.store import ObjectStore
from storage.reading import reading
from storage.record import Stamp, now
from storage.replica.compactor import seed
from storage.replica.contents import Contents
from storage.replica.entries import BIND, pack
from storage.replica.lease import TTL, Lease
from storage.replica.lineage import newest_token, note
from storage.replica.log import LogWriter
from storage.replica.manifest import newest_manifest
from storage.replica.names import BEGIN, Tail
from storage.replica.reader import LogReader
from storage.replica.restore import Restoration
from storage.replica.snapshot import Image
from storage.replica.takeover import take_over
from storage.snapshot import sync_folders
from storage.spilled import PREFIX

if TYPE_CHECKING:
    from storage.record import Record

EPOCHS = 8
"""Bits of an epoch that count the openings of a directory behind a filling."""
PIECE = 8 << 20
"""Bytes of records in one upload."""


@dataclass(slots=True)
class Opening:
    """A claimed replica on its way to a running one."""

    store: ObjectStore
    lease: Lease
    tail: Tail
    writer: int
    """Token of the newest incarnation that wrote anything."""

    @classmethod
    def claim(cls, store: ObjectStore, host: str) -> Opening:
        """Become the only incarnation that can acknowledge anything. Blocks."""
        lease = Lease.claim(store, host, ttl=TTL)
        tail = take_over(store, lease)
        manifest = newest_manifest(store, host)
        start = manifest.tail if manifest else BEGIN
        return cls(store, lease, tail, LogReader(store, host).tail(start).position.token)

    def objects(self, local: ObjectStore, folder: Path) -> Contents:
        """Where large contents are from now on; those of a directory that had no replica so far
        are brought there. Blocks."""
        found = Contents(self.store, self.lease.host, self.lease.token)
        keys = local.list(PREFIX) if folder.exists() else []
        there = set(found.list(PREFIX)) if keys else set()
        for key in keys:
            if key not in there:
                found.put(key, local.get(key))
        return found

    def fill(self, layout: Layout, disk: Disk) -> bool:
        """Write the replica's databases into an empty directory, with a journal that goes on
        behind them; whether there was anything. The format file is the caller's, and the last."""
        if not self.tail.sequence:
            return False
        made = []
        for file in Restoration(self.store, self.lease.host).images():
            path = layout.path(file.uid, file.generation)
            path.parent.mkdir(parents=True, exist_ok=True)
            disk.write_file(path, file.data, sync=True)
            made.append(path)
        for path in layout.journal.glob("*.seg"):
            disk.unlink(path)
        # Higher than the epoch of any bookmark that was made on the way here: openings without
        # the replica have spent no token.
        epoch = self.lease.token << EPOCHS
        begun = Mark(Bookmark(epoch, self.tail.sequence), now())
        note(disk, layout.root, self.lease.host, self.lease.token, begun)
        Journal(disk, layout.journal, epoch, self.tail.sequence, 0).close()
        sync_folders(disk, made)
        return True

    def catch_up(
        self, disk: Disk, layout: Layout, records: Sequence[Record], last: int, epoch: int
    ) -> None:
        """Give the replica everything up to record `last`, at rest, in this epoch. Blocks.

        `StateStale` if another directory has written to the replica since this one did."""
        host, root = self.lease.host, layout.root
        if self.tail.sequence and self.writer > newest_token(root, host):
            raise StateStale(
                f"{root} is not what {host} went on from: another, {self.writer}, wrote",
                path=str(root),
            )
        if self.tail.sequence > last:
            raise StateStale(
                f"{root} ends at record {last}, its replica at {self.tail.sequence}",
                path=str(root),
            )
        note(disk, root, host, self.lease.token)
        if self.tail.sequence < last:
            self._upload(layout, records, last, epoch)

    def _upload(self, layout: Layout, records: Sequence[Record], last: int, epoch: int) -> None:
        missing = [one for one in records if one.sequence > self.tail.sequence]
        follow = bool(missing) and missing[0].sequence == self.tail.sequence + 1
        if follow and not any(_binds(one) for one in missing):
            self._append(missing)
        else:
            self._seed(layout, last, epoch)

    def _append(self, records: Sequence[Record]) -> None:
        log = LogWriter(self.store, self.lease, self.tail)
        piece: list[tuple[int, bytes]] = []
        size = 0
        for one in records:
            piece.append((one.sequence, pack(one.body, one.count, Stamp(one.made, one.time))))
            size += len(one.body)
            if size > PIECE:
                self.lease.keep()
                log.append(piece)
                piece, size = [], 0
        if piece:
            self.lease.keep()
            log.append(piece)
        self.tail = log.tail

    def _seed(self, layout: Layout, last: int, epoch: int) -> None:
        files = _files(layout)

        def image(uid: int) -> Image:
            return Image(files[uid], last, layout.path(uid, files[uid]).read_bytes())

        made = Stamp(epoch, now())
        self.tail = seed(self.store, self.lease, self.tail, last, sorted(files), image, made)


def _binds(one: Record) -> bool:
    return any(entry.kind == BIND for entry in one.entries())


def _files(layout: Layout) -> dict[int, int]:
    """Uid and generation of every database of a directory at rest, as its catalogue has them: a
    crash may have left other files, whose names mean nothing."""
    with reading(layout.path(0)) as db:
        found = dict(db.execute("select uid, generation from actors where file"))
    return {0: 1, **found}
