"""Hosts and a clock for tests of the replica."""

from __future__ import annotations

from collections.abc import Callable

from storage.frames import Commit
from storage.limits import PAGE_SIZE
from storage.objects import ObjectStore
from storage.record import CREATE, DELETE, PAGES, Entry
from storage.replica import Lease, LogReader, LogWriter, Tail, pack, take_over
from storage.replica.manifest import newest_manifest
from storage.replica.names import BEGIN
from storage.replica.slot import LogRecord
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


def packed(*entries: Entry) -> bytes:
    """One record of these entries, as the log has it."""
    return pack(b"".join(entry.encode() for entry in entries), len(entries))
