"""Restore: the databases of a host from its replica.

The newest manifest names a snapshot of each database; the records of the log behind it are laid
over them. A snapshot may be ahead of the manifest, by records that are in the log too: of each
database only those behind its own snapshot count. Anybody may restore at any time, as of what
was acknowledged; an incarnation that goes on from there takes over first.

A restoration may also stop in the log, at any record behind the manifest. What a snapshot is ahead
of that record by cannot be taken back: a database whose snapshot is cannot be had as of then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from storage.catalogue import first_image
from storage.errors import BookmarkGone, ObjectStoreFailed, ReplicaCorrupt
from storage.history.bookmark import Bookmark
from storage.limits import PAGE_SIZE
from storage.objects.store import ObjectStore
from storage.replica import names, snapshot
from storage.replica.entries import (
    BIND,
    CREATE,
    DELETE,
    NEVER,
    PAGES,
    Entry,
    Stamp,
    entries,
    stamp_of,
)
from storage.replica.manifest import Manifest, Snapshot, newest_manifest, newest_number
from storage.replica.names import BEGIN, Tail
from storage.replica.reader import LogReader
from storage.template import template


class Moment(NamedTuple):
    """A record, and when it was made."""

    sequence: int
    stamp: Stamp


Upto = Callable[[int, Stamp], bool]


def gone(what: str, first: int, begins: Moment) -> BookmarkGone:
    """The replica has nothing before record `first` of what was asked for."""
    oldest = str(Bookmark(begins.stamp.epoch, first))
    said = f"the replica does not have {what} any more; it begins at {oldest}"
    return BookmarkGone(said, oldest=oldest)


class RestoredFile(NamedTuple):
    """One database as of the end of what was restored."""

    uid: int
    generation: int
    sequence: int
    """Its newest record that is known: a snapshot's own where nothing came later."""
    data: bytes


@dataclass
class _File:
    """What the manifest and the records say about one database, folded together."""

    generation: int
    base: Snapshot | Callable[[], bytes] | None
    sequence: int
    size: int | None = None
    """Pages it has; None for as many as its base."""
    kept: int | None = None
    """Pages of the base that were never cut off; None for all."""
    pages: dict[int, bytes] = field(default_factory=dict)

    def lay(self, entry: Entry, sequence: int) -> None:
        """One more commit."""
        assert entry.commit is not None  # noqa: S101 - it is of PAGES
        self.sequence = sequence
        size, pages = entry.commit
        self.pages.update(pages)
        if self.size is None or size < self.size:
            # What is cut off is gone, also where the database grows over it again.
            self.kept = size if self.kept is None else min(size, self.kept)
            self.pages = {number: page for number, page in self.pages.items() if number <= size}
        self.size = size

    def over(self, image: bytes) -> bytes:
        """The image with the pages laid over it."""
        if self.size is None or self.kept is None:
            return image
        data = bytearray(image[: self.kept * PAGE_SIZE].ljust(self.size * PAGE_SIZE, b"\0"))
        for number, page in self.pages.items():
            data[(number - 1) * PAGE_SIZE : number * PAGE_SIZE] = page
        return bytes(data)


class Restoration:
    """The databases of one host as of `tail`. Images are made one at a time, as they are asked."""

    def __init__(
        self,
        store: ObjectStore,
        host: str,
        first: Callable[[], bytes] = first_image,
        upto: Upto | None = None,
    ) -> None:
        """Read manifest and log. Blocks; memory holds the pages changed since the manifest.

        `first` is the image that the catalogue, uid 0, begins with; `upto` says of a record of
        the log whether it still counts, all if None. `ReplicaCorrupt` if anything acknowledged is
        missing or damaged.
        """
        self._store = store
        self._host = host
        self._first = first
        self._upto = upto
        self._files: dict[int, _File] = {}
        self.begins = Moment(0, NEVER)
        """The manifest's: nothing before it can be had."""
        self.ends = self.begins
        """The newest record that counts."""
        self.tail = self._read()

    @property
    def files(self) -> dict[int, int]:
        """The databases that there are: uid and generation."""
        return {uid: file.generation for uid, file in self._files.items()}

    def image(self, uid: int) -> RestoredFile:
        """One database. Blocks; its snapshot is read now. `KeyError` if there is none.

        `BookmarkGone` if there was one, but not of that age any more.
        `ObjectStoreFailed` if the host, which is alive, has replaced that snapshot meanwhile:
        begin with a new `Restoration`.
        """
        file = self._files[uid]
        if self._upto is not None:
            self._check_age(uid, file)
        return RestoredFile(uid, file.generation, file.sequence, file.over(self._base(file)))

    def images(self) -> Iterator[RestoredFile]:
        """All databases, in the order of their uids; the catalogue comes first."""
        return (self.image(uid) for uid in sorted(self._files))

    def _check_age(self, uid: int, file: _File) -> None:
        """Whether the file is as of the newest record that counts, and not ahead of it."""
        base = file.base
        ahead = isinstance(base, Snapshot) and base.sequence > self.ends.sequence
        if base is None or ahead:
            first = base.sequence if isinstance(base, Snapshot) else self.ends.sequence + 1
            raise gone(f"database {uid} as of record {self.ends.sequence}", first, self.begins)

    def _base(self, file: _File) -> bytes:
        if not isinstance(file.base, Snapshot):
            assert file.base is not None  # noqa: S101 - checked when it was read
            return file.base()
        try:
            return snapshot.read(self._store, self._host, file.base)
        except ReplicaCorrupt as error:
            if newest_number(self._store, self._host) == self._manifest:
                raise
            key = file.base.key(self._host)
            raise ObjectStoreFailed(
                f"{key} was replaced while it was restored",
                hint="restore again from the beginning",
                url="",
                key=key,
                cause="a newer manifest",
            ) from error

    # -- reading ------------------------------------------------------------------------

    def _read(self) -> Tail:
        while True:
            manifest = newest_manifest(self._store, self._host)
            self._manifest = manifest.number if manifest else 0
            try:
                tail = self._fold(manifest)
            except ReplicaCorrupt:
                if newest_number(self._store, self._host) == self._manifest:
                    raise
            # Behind a newer manifest the log is deleted, also from where this one pointed to:
            # what was read may lack its end, without a sign of it.
            if newest_number(self._store, self._host) == self._manifest:
                return tail

    def _fold(self, manifest: Manifest | None) -> Tail:
        start = manifest.tail if manifest else BEGIN
        self._files = {0: _File(1, self._first, 0)}
        for one in manifest.snapshots if manifest else ():
            self._files[one.uid] = _File(one.generation, one, one.sequence)
        sequence, position = start
        self.begins = self.ends = Moment(sequence, manifest.made if manifest else NEVER)
        for slot in LogReader(self._store, self._host).slots(start):
            for sequence, data in slot.records():
                if sequence <= start.sequence:
                    continue
                if self._upto is not None and not self._upto(sequence, stamp_of(data)):
                    return Tail(self.ends.sequence, position)
                self.ends = Moment(sequence, stamp_of(data))
                for entry in entries(data):
                    self._apply(entry, sequence, slot.position.token)
            position = slot.position._replace(slot=slot.position.slot + 1)
        if self._upto is None:
            self._check()
        return Tail(max(sequence, start.sequence), position)

    def _apply(self, entry: Entry, sequence: int, token: int) -> None:
        uid = entry.uid
        file = self._files.get(uid)
        if file and isinstance(file.base, Snapshot) and sequence <= file.base.sequence:
            return  # its snapshot has it
        if entry.kind == PAGES:
            # Without a base it is a database that was gone when its snapshot was due: the record
            # that deletes it follows.
            file = self._files.setdefault(uid, _File(entry.generation, None, sequence))
            if file.generation != entry.generation:
                said = f"record {sequence} is about generation {entry.generation} of database {uid}"
                raise ReplicaCorrupt(f"{said}, which is at {file.generation}", key="")
            file.lay(entry, sequence)
        elif entry.kind == CREATE:
            self._files[uid] = _File(entry.generation, template, sequence)
        elif entry.kind == DELETE:
            self._files.pop(uid, None)
        elif entry.kind == BIND:
            self._files[uid] = self._bound(entry, sequence, token)
        else:
            raise ReplicaCorrupt(
                f"record {sequence} has an entry of kind {entry.kind}, unknown here", key=""
            )

    def _bound(self, entry: Entry, sequence: int, token: int) -> _File:
        """The newest snapshot of that generation that the writer of the record had uploaded."""
        prefix = names.snapshot_key(self._host, token, entry.uid, entry.generation, 0)[:-1]
        found = [names.snapshot_of(key)[3] for key in self._store.list(prefix)]
        fitting = [one for one in found if one <= sequence]
        if not fitting:
            said = f"record {sequence} needs a snapshot {prefix}*, and there is none"
            raise ReplicaCorrupt(said, key=prefix)
        base = Snapshot(entry.uid, entry.generation, max(fitting), token)
        return _File(entry.generation, base, sequence)

    def _check(self) -> None:
        for uid, file in self._files.items():
            if file.base is None:
                said = f"database {uid} has records up to {file.sequence}, and no snapshot"
                raise ReplicaCorrupt(said, key=names.snapshots(self._host))
