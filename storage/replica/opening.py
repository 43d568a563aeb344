"""What happens to the replica while its store opens.

before recovery   claim the lease, end what older incarnations wrote; an empty directory is
                  filled from the replica
after recovery    upload what the disk has and the replica lacks: the records, if the journal
                  still has them, otherwise images of everything
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.disk import Disk
from storage.errors import StateStale
from storage.journal import Journal
from storage.layout import Layout
from storage.objects.store import ObjectStore
from storage.replica.compactor import seed
from storage.replica.entries import pack
from storage.replica.lease import Lease
from storage.replica.log import LogWriter
from storage.replica.names import Tail
from storage.replica.restore import Restoration
from storage.replica.snapshot import Image
from storage.replica.takeover import take_over
from storage.snapshot import sync_folders

if TYPE_CHECKING:
    from storage.record import Record

PIECE = 8 << 20
"""Bytes of records in one upload."""


@dataclass(slots=True)
class Opening:
    """A claimed replica on its way to a running one."""

    store: ObjectStore
    lease: Lease
    tail: Tail

    @classmethod
    def claim(cls, store: ObjectStore, host: str) -> Opening:
        """Become the only incarnation that can acknowledge anything. Blocks."""
        lease = Lease.claim(store, host)
        return cls(store, lease, take_over(store, lease))

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
        Journal(disk, layout.journal, self.lease.token, self.tail.sequence, 0).close()
        sync_folders(disk, made)
        return True

    def catch_up(self, layout: Layout, records: Sequence[Record], last: int) -> None:
        """Give the replica everything up to record `last`, at rest. Blocks."""
        if self.tail.sequence > last:
            raise StateStale(
                f"{layout.root} ends at record {last}, its replica at {self.tail.sequence}",
                path=str(layout.root),
            )
        missing = [one for one in records if one.sequence > self.tail.sequence]
        if self.tail.sequence == last:
            return
        if missing and missing[0].sequence == self.tail.sequence + 1:
            self._append(missing)
        else:
            self._seed(layout, last)

    def _append(self, records: Sequence[Record]) -> None:
        log = LogWriter(self.store, self.lease, self.tail)
        piece: list[tuple[int, bytes]] = []
        size = 0
        for one in records:
            piece.append((one.sequence, pack(one.body, one.count)))
            size += len(one.body)
            if size > PIECE:
                log.append(piece)
                piece, size = [], 0
        if piece:
            log.append(piece)
        self.tail = log.tail

    def _seed(self, layout: Layout, last: int) -> None:
        files = layout.files()

        def image(uid: int) -> Image:
            return Image(files[uid], last, layout.path(uid, files[uid]).read_bytes())

        self.tail = seed(self.store, self.lease, self.tail, last, sorted(files), image)
