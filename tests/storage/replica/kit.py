"""Hosts and a clock for tests of the replica."""

from __future__ import annotations

from collections.abc import Callable

from storage.frames import Commit
from storage.limits import PAGE_SIZE
from storage.objects import ObjectStore
from storage.record import CREATE, DELETE, PAGES, Entry
from storage.replica import (
    Image,
    Lease,
    LogReader,
    LogWriter,
    Restoration,
    Tail,
    pack,
    take_over,
)
from storage.replica.entries import BIND
from storage.replica.manifest import newest_manifest
from storage.replica.names import BEGIN
from storage.replica.slot import LogRecord
from storage.template import template
from storage.testing.objects import StoreCall, fail

HOST = "node-1"


class Clock:
    """Stands still until a test moves it, in either direction."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds


class Host:
    """One incarnation: claimed, took over, and ready to append."""

    def __init__(self, store: ObjectStore, clock: Clock | None = None) -> None:
        self.store = store
        self.lease = Lease.claim(store, HOST, clock=clock or Clock())
        self.tail = take_over(store, self.lease)
        self.log = LogWriter(store, self.lease, self.tail)
        with self.lease.first_suspect():
            self.found = contents(store)
        """The records that it found; it goes on from there."""

    def write(self, *texts: bytes) -> list[LogRecord]:
        """Append these as one slot, behind the newest; the records."""
        records = numbered(self.log.acknowledged, *texts)
        self.log.append(records)
        return records


def cut(at: int) -> Callable[[StoreCall], None]:
    """A hook for a host whose power goes at its `at`-th moment, from 1; calls have two each."""
    moments = 0

    def hook(call: StoreCall) -> None:
        nonlocal moments
        moments += 1
        if moments >= at:
            fail(call)

    return hook


def at_moment(moment: int, act: Callable[[], None]) -> Callable[[StoreCall], None]:
    """A hook during whose `moment`-th call something else happens, from beginning to end."""
    moments = 0

    def hook(call: StoreCall) -> None:
        nonlocal moments
        moments += 1
        if moments == moment:
            act()

    return hook


def numbered(after: int, *texts: bytes) -> list[LogRecord]:
    """Records that follow `after`."""
    return list(enumerate(texts, after + 1))


def contents(store: ObjectStore, start: Tail | None = None) -> list[LogRecord]:
    """What a reader finds behind the newest manifest."""
    manifest = newest_manifest(store, HOST)
    tail = manifest.tail if manifest else BEGIN
    return list(LogReader(store, HOST).records(start or tail))


def page(text: bytes) -> bytes:
    """A page that begins with this."""
    return text.ljust(PAGE_SIZE, b"\0")


def created(uid: int, generation: int = 1) -> Entry:
    return Entry(CREATE, uid, generation)


def deleted(uid: int) -> Entry:
    return Entry(DELETE, uid)


def wrote(uid: int, size: int, pages: dict[int, bytes], generation: int = 1) -> Entry:
    """A commit that left `size` pages and wrote these."""
    images = {number: page(text) for number, text in pages.items()}
    return Entry(PAGES, uid, generation, Commit(size, images))


def bound(uid: int, generation: int) -> Entry:
    return Entry(BIND, uid, generation)


def packed(*entries: Entry) -> bytes:
    """One record of these entries, as the log has it."""
    return pack(b"".join(entry.encode() for entry in entries), len(entries))


CATALOGUE = page(b"catalogue")
Living = dict[int, tuple[int, bytes]]
"""Generation and content of each database, by uid."""


class Files:
    """What the databases of a host are after each commit, and the records that say so."""

    def __init__(self, sequence: int = 0) -> None:
        self.sequence = sequence
        self.now: dict[int, Image] = {0: Image(1, sequence, CATALOGUE)}
        """By uid; also those that are gone, without data."""
        self.staged: dict[tuple[int, int], bytes] = {}
        """Contents of generations that a BIND may name."""
        self.history: dict[int, Living] = {}
        """What there was after each record."""

    @classmethod
    def recovered(cls, host: Host) -> Files:
        """As a host finds them that has nothing but the replica."""
        files = cls(host.tail.sequence)
        for uid, (generation, data) in restored(host.store).items():
            files.now[uid] = Image(generation, files.sequence, data)
        files.history[files.sequence] = files.living()
        return files

    def commit(self, *entries: Entry) -> LogRecord:
        """Do what the entries say; the record for the log."""
        self.sequence += 1
        for entry in entries:
            before = self.now.get(entry.uid)
            self.now[entry.uid] = self._after(entry, before.data if before else None)
        self.history[self.sequence] = self.living()
        return self.sequence, packed(*entries)

    def _after(self, entry: Entry, data: bytes | None) -> Image:
        if entry.kind == CREATE:
            data = template()
        elif entry.kind == BIND:
            data = self.staged[entry.uid, entry.generation]
        elif entry.kind == DELETE:
            data = None
        elif entry.commit is not None:
            size = entry.commit.size * PAGE_SIZE
            assert data is not None
            whole = bytearray(data[:size].ljust(size, b"\0"))
            for number, image in entry.commit.pages.items():
                whole[(number - 1) * PAGE_SIZE : number * PAGE_SIZE] = image
            data = bytes(whole)
        return Image(entry.generation, self.sequence, data)

    def image(self, uid: int) -> Image:
        """As a compactor asks for it."""
        return self.now[uid]

    def living(self) -> Living:
        """Generation and content of every database that there is."""
        return {
            uid: (one.generation, one.data) for uid, one in self.now.items() if one.data is not None
        }


def restored(store: ObjectStore) -> Living:
    """What a restore makes of the replica, as `Files.living`."""
    found = Restoration(store, HOST, lambda: CATALOGUE).images()
    return {one.uid: (one.generation, one.data) for one in found}
