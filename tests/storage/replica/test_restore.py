"""Restore: every database as the newest acknowledged record left it, byte for byte."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from storage.errors import ObjectStoreFailed, ReplicaCorrupt
from storage.frames import FrameReader
from storage.objects import ObjectStore, open_store
from storage.record import PAGES, Entry
from storage.replica import Compactor, Image, LogWriter, Restoration, pack, seed
from storage.replica.manifest import newest_manifest
from storage.replica.names import manifest_key
from storage.template import template
from storage.testing.objects import FaultyStore, MemoryStore, StoreCall, fail
from tests.storage.replica.kit import (
    CATALOGUE,
    HOST,
    Clock,
    Files,
    Host,
    bound,
    contents,
    created,
    deleted,
    numbered,
    packed,
    page,
    restored,
    wrote,
)

GRACE = 600.0


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def files() -> Files:
    return Files()


def compacted(host: Host, files: Files) -> Compactor:
    one = Compactor(host.store, host.lease, host.log)
    one.compact(files.image)
    return one


def test_a_host_that_never_was_has_only_an_empty_catalogue(store: MemoryStore) -> None:
    found = Restoration(store, HOST)
    assert found.files == {0: 1}
    assert found.image(0).sequence == 0
    with pytest.raises(KeyError):
        found.image(1)


def test_without_a_manifest_everything_comes_from_the_log(store: MemoryStore, files: Files) -> None:
    host = Host(store)
    host.log.append([files.commit(created(1), wrote(0, 1, {1: b"rows"}))])
    host.log.append([files.commit(wrote(1, 3, {1: b"a", 3: b"c"})), files.commit(created(2))])
    host.log.append([files.commit(wrote(1, 2, {2: b"b"}))])
    assert restored(store) == files.living()
    assert files.living()[2] == (1, template())


def test_the_log_is_laid_over_the_snapshots(store: MemoryStore, files: Files) -> None:
    host = Host(store)
    host.log.append([files.commit(created(1), wrote(1, 2, {1: b"a", 2: b"b"}))])
    host.log.append([files.commit(created(2), wrote(2, 1, {1: b"x"}))])
    compacted(host, files)
    host.log.append([files.commit(wrote(1, 3, {3: b"c"})), files.commit(deleted(2))])
    host.log.append([files.commit(wrote(1, 1, {1: b"shrunk"}))])
    found = Restoration(store, HOST, lambda: CATALOGUE)
    assert found.image(1).sequence == 5
    assert found.tail.sequence == 5
    assert found.files == {0: 1, 1: 1}
    assert restored(store) == files.living()


def test_several_commits_of_one_database_in_one_record_all_count(
    store: MemoryStore, files: Files
) -> None:
    host = Host(store)
    host.log.append([files.commit(created(1), wrote(1, 2, {1: b"a"}), wrote(1, 2, {2: b"b"}))])
    compacted(host, files)
    host.log.append([files.commit(wrote(1, 2, {1: b"c"}), wrote(1, 2, {2: b"d"}))])
    assert restored(store) == files.living()
    assert files.living()[1][1] == page(b"c") + page(b"d")


def test_records_that_a_snapshot_is_ahead_of_are_not_laid_over_it_again(
    store: MemoryStore, files: Files
) -> None:
    host = Host(store)
    host.log.append([files.commit(created(1), wrote(1, 1, {1: b"old"}))])
    late: list[bool] = []

    def image(uid: int) -> Image:
        if not late:
            late.append(True)
            host.log.append([files.commit(wrote(1, 2, {1: b"mid", 2: b"mid"}))])
            host.log.append([files.commit(wrote(1, 1, {1: b"new"}))])
        return files.image(uid)

    made = Compactor(store, host.lease, host.log).compact(image)
    assert (made.tail.sequence, made.snapshots[0].sequence) == (1, 3)
    assert len(contents(store)) == 2
    assert restored(store) == files.living()


def test_a_bind_takes_the_snapshot_of_its_own_generation_and_incarnation(
    store: MemoryStore, files: Files
) -> None:
    first = Host(store)
    first.log.append([files.commit(created(1), wrote(1, 1, {1: b"1"}))])
    Compactor(store, first.lease, first.log).add(1, Image(2, 1, page(b"never bound")))
    host = Host(store)
    one = Compactor(store, host.lease, host.log)
    for text in (b"staged too early", b"bound"):
        files.staged[1, 2] = page(text) + page(b"second page")
        one.add(1, Image(2, files.sequence, files.staged[1, 2]))
        host.log.append([files.commit(wrote(1, 1, {1: b"still the old one"}))])
    one.add(1, Image(2, files.sequence, files.staged[1, 2]))
    host.log.append([files.commit(bound(1, 2))])
    assert restored(store) == files.living()
    host.log.append([files.commit(wrote(1, 2, {1: b"after"}, generation=2))])
    assert restored(store) == files.living()
    one.compact(files.image)
    assert restored(store) == files.living()
    assert Restoration(store, HOST).files[1] == 2


def test_a_snapshot_of_a_later_generation_makes_the_records_before_it_void(
    store: MemoryStore, files: Files
) -> None:
    host = Host(store)
    one, _ = compacting(host)
    host.log.append([files.commit(created(1), wrote(1, 1, {1: b"old"}))])
    late: list[bool] = []

    def image(uid: int) -> Image:
        if not late:
            late.append(True)
            host.log.append([files.commit(wrote(1, 1, {1: b"of the old generation"}))])
            files.staged[1, 2] = page(b"bound")
            files.commit(bound(1, 2))
            host.log.append([(files.sequence, packed(bound(1, 2)))])
        return files.image(uid)

    assert one.compact(image).tail.sequence == 1
    assert restored(store) == files.living()


def test_a_snapshot_that_is_ahead_of_the_log_is_no_base_for_a_bind(
    store: MemoryStore, files: Files
) -> None:
    host = Host(store)
    host.log.append([files.commit(created(1))])
    files.staged[1, 2] = page(b"bound")
    Compactor(store, host.lease, host.log).add(1, Image(2, 1, page(b"bound")))
    host.log.append([files.commit(bound(1, 2))])
    before = files.living()
    host.log.stage([files.commit(wrote(1, 1, {1: b"never in the log"}, generation=2))])

    def power(call: StoreCall) -> None:
        if call.method == "put" and call.moment == "after":
            fail(call)

    with pytest.raises(ObjectStoreFailed):
        Compactor(FaultyStore(store, power), host.lease, host.log).compact(files.image)
    assert f"snap/{HOST}/0000000001/1-2-3" in store.objects
    assert restored(store) == before


def test_a_restore_may_be_of_a_host_that_goes_on_writing(store: MemoryStore, files: Files) -> None:
    host = Host(store)
    host.log.append([files.commit(created(1), wrote(1, 1, {1: b"1"}))])
    found = Restoration(store, HOST, lambda: CATALOGUE)
    before = files.living()
    host.log.append([files.commit(wrote(1, 1, {1: b"2"}))])
    assert {one.uid: (one.generation, one.data) for one in found.images()} == before
    assert restored(store) == files.living()


@pytest.mark.parametrize("writes_on", [True, False])
def test_a_restore_that_meets_a_compaction_lacks_nothing(
    store: MemoryStore, files: Files, writes_on: bool
) -> None:
    host = Host(store)
    one, clock = compacting(host)
    host.log.append([files.commit(created(1), wrote(1, 1, {1: b"1"}))])
    one.compact(files.image)
    host.log.append([files.commit(wrote(1, 1, {1: b"2"}))])
    rounds = iter(range(3))

    def meanwhile(call: StoreCall) -> None:
        """While the log is listed: it is compacted, deleted, and perhaps goes on."""
        if call.key.startswith("log/") and call.moment == "before" and next(rounds, None):
            one.compact(files.image)
            one.collect()
            clock.move(GRACE)
            one.collect()
            if writes_on:
                host.log.append([files.commit(wrote(1, 1, {1: b"3"}))])

    assert restored(FaultyStore(store, meanwhile)) == files.living()
    assert next(rounds, None) is None


def test_a_restore_whose_snapshot_is_replaced_says_to_begin_again(
    store: MemoryStore, files: Files
) -> None:
    host = Host(store)
    one, clock = compacting(host)
    host.log.append([files.commit(created(1), wrote(1, 1, {1: b"1"}))])
    one.compact(files.image)
    found = Restoration(store, HOST)
    host.log.append([files.commit(wrote(1, 1, {1: b"2"}))])
    one.compact(files.image)
    one.collect()
    clock.move(GRACE)
    one.collect()
    with pytest.raises(ObjectStoreFailed, match="restore again"):
        found.image(1)
    assert restored(store) == files.living()


def compacting(host: Host) -> tuple[Compactor, Clock]:
    clock = Clock()
    return Compactor(host.store, host.lease, host.log, grace=GRACE, clock=clock), clock


# -- damage -----------------------------------------------------------------------------


def test_a_snapshot_that_is_damaged_or_gone_is_an_error_that_names_it(
    store: MemoryStore, files: Files
) -> None:
    host = Host(store)
    host.log.append([files.commit(created(1), wrote(1, 1, {1: b"1"}))])
    compacted(host, files)
    key = store.list(f"snap/{HOST}/")[-1]
    whole = store.objects[key]
    damaged = 0
    for at in range(0, len(whole), 3):
        store.objects[key] = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        try:
            assert restored(store) == files.living()  # some bits of zlib mean nothing
        except ReplicaCorrupt as error:
            damaged += 1
            assert error.key == key
    assert damaged > len(whole) / 3 - 5
    for at in (0, 10, len(whole) - 1):
        store.objects[key] = whole[:at]
        with pytest.raises(ReplicaCorrupt):
            restored(store)
    store.delete(key)
    with pytest.raises(ReplicaCorrupt, match="has gone"):
        restored(store)
    store.objects[key] = whole
    assert restored(store) == files.living()


def test_the_snapshot_of_another_database_is_damage(store: MemoryStore, files: Files) -> None:
    host = Host(store)
    host.log.append([files.commit(created(1)), files.commit(created(2))])
    compacted(host, files)
    one, two = store.list(f"snap/{HOST}/")
    store.objects[one] = store.objects[two]
    with pytest.raises(ReplicaCorrupt, match="it is database 2"):
        restored(store)


def test_a_damaged_manifest_is_an_error_that_names_it(store: MemoryStore, files: Files) -> None:
    host = Host(store)
    host.log.append([files.commit(created(1))])
    compacted(host, files)
    key = manifest_key(HOST, 2)
    whole = store.objects[key]
    other = whole.replace(b'"number":2', b'"number":3')
    assert other != whole
    for bad in (b"", whole[:-1], b"{}", b"[]", other, whole.replace(b'format":1', b'format":9')):
        store.objects[key] = bad
        with pytest.raises(ReplicaCorrupt) as caught:
            restored(store)
        assert caught.value.key == key


def test_records_of_a_database_that_nothing_began_are_damage(
    store: MemoryStore, files: Files
) -> None:
    host = Host(store)
    files.now[1] = Image(1, 0, page(b"unknown to the log"))
    host.log.append([files.commit(wrote(1, 1, {1: b"1"}))])
    with pytest.raises(ReplicaCorrupt, match="database 1 has records up to 1, and no snapshot"):
        restored(store)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (bound(1, 2), "needs a snapshot"),
        (wrote(1, 1, {1: b"x"}, generation=7), "is about generation 7"),
        (Entry(9, 1), "of kind 9"),
    ],
    ids=["bind", "generation", "kind"],
)
def test_a_record_that_does_not_fit_is_damage(
    store: MemoryStore, files: Files, entry: Entry, said: str
) -> None:
    host = Host(store)
    host.log.append([files.commit(created(1))])
    host.log.append(numbered(1, pack(entry.encode(), 1)))
    with pytest.raises(ReplicaCorrupt, match=said):
        restored(store)


def test_a_foreign_object_in_the_replica_is_named(store: MemoryStore) -> None:
    Host(store)
    store.put(f"manifest/{HOST}/README", b"")
    with pytest.raises(ReplicaCorrupt, match="README is not an object of a replica"):
        restored(store)


# -- real databases ---------------------------------------------------------------------


class RealDatabase:
    """A database of SQLite's own, whose commits go into the log."""

    def __init__(self, path: Path, log: LogWriter) -> None:
        path.write_bytes(template())
        self.log = log
        self.frames = 0
        self.reader = FrameReader(path.with_name(path.name + "-wal"))
        self.db = apsw.Connection(str(path))
        self.db.execute("pragma locking_mode=exclusive; pragma wal_autocheckpoint=0")
        self.db.set_wal_hook(self._hook)

    def _hook(self, _: apsw.Connection, __: str, frames: int) -> int:
        self.frames = frames
        return apsw.SQLITE_OK

    def run(self, statement: str, *values: object) -> None:
        self.db.execute(statement, values).fetchall()
        made = self.reader.read(self.frames)
        entry = Entry(PAGES, 1, 1, made)
        self.log.append(numbered(self.log.acknowledged, pack(entry.encode(), 1)))

    def image(self, uid: int) -> Image:
        assert uid == 1
        return Image(1, self.log.acknowledged, self.db.serialize("main"))

    def close(self) -> None:
        self.reader.close()
        self.db.close()


@pytest.mark.parametrize("url", ["memory://", "file"])
def test_a_restored_file_is_the_database_by_sqlite_s_own_judgement(
    tmp_path: Path, url: str
) -> None:
    store: ObjectStore = open_store(url if url != "file" else (tmp_path / "replica").as_uri())
    host = Host(store)
    host.log.append(numbered(0, pack(created(1).encode(), 1)))
    database = RealDatabase(tmp_path / "1.db", host.log)
    one = Compactor(store, host.lease, host.log)
    database.run("create table t(n integer primary key, text)")
    for number in range(30):
        database.run("insert into t values (?, ?)", number, "x" * 500 * (number % 7))
        if number == 15:
            one.compact(database.image)
    database.run("delete from t where n < 20")
    expected = database.db.execute("select * from t").fetchall()
    database.close()

    (tmp_path / "restored.db").write_bytes(Restoration(store, HOST).image(1).data)
    with apsw.Connection(str(tmp_path / "restored.db")) as db:
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert db.execute("select * from t").fetchall() == expected
    db.close()


# -- all of it together -----------------------------------------------------------------


class Life(RuleBasedStateMachine):
    """A host that writes, compacts, cleans up, dies and comes back, on one replica."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryStore()
        self.clock = Clock()
        self.files = Files()
        self.uids = 0
        self.starts()

    def starts(self) -> None:
        self.host = Host(self.memory)
        self.compactor = Compactor(
            self.memory, self.host.lease, self.host.log, grace=10, clock=self.clock
        )

    def living(self) -> list[int]:
        return sorted(uid for uid in self.files.living() if uid)

    @rule()
    def creates(self) -> None:
        self.uids += 1
        rows = wrote(0, 1, {1: b"catalogue %d" % self.uids})
        self.host.log.append([self.files.commit(created(self.uids), rows)])

    @precondition(lambda self: self.living())
    @rule(data=st.data(), size=st.integers(1, 4), text=st.binary(min_size=1, max_size=4))
    def writes(self, data: st.DataObject, size: int, text: bytes) -> None:
        uids = data.draw(st.sets(st.sampled_from(self.living()), min_size=1, max_size=3))
        numbers = data.draw(st.sets(st.integers(1, size), min_size=1))
        pages = dict.fromkeys(numbers, text)
        self.host.log.append([self.files.commit(*(self.written(uid, size, pages) for uid in uids))])

    def written(self, uid: int, size: int, pages: dict[int, bytes]) -> Entry:
        return wrote(uid, size, pages, self.files.now[uid].generation)

    @precondition(lambda self: self.living())
    @rule(data=st.data())
    def deletes(self, data: st.DataObject) -> None:
        uid = data.draw(st.sampled_from(self.living()))
        self.host.log.append([self.files.commit(deleted(uid))])

    @precondition(lambda self: self.living())
    @rule(data=st.data(), text=st.binary(min_size=1, max_size=4), compact=st.booleans())
    def imports(self, data: st.DataObject, text: bytes, compact: bool) -> None:
        uid = data.draw(st.sampled_from(self.living()))
        generation = self.files.now[uid].generation + 1
        self.files.staged[uid, generation] = page(text)
        self.compactor.add(uid, Image(generation, self.files.sequence, page(text)))
        if compact:
            self.compacts()
        self.host.log.append([self.files.commit(bound(uid, generation))])

    @rule()
    def compacts(self) -> None:
        self.compactor.compact(self.files.image)

    @rule(seconds=st.sampled_from([1, 20]))
    def collects(self, seconds: float) -> None:
        self.compactor.collect()
        self.clock.move(seconds)
        self.compactor.collect()

    @rule()
    def dies_and_comes_back(self) -> None:
        self.starts()
        assert self.host.tail.sequence == self.files.sequence

    @rule(seen=st.integers(0, 3))
    def comes_back_ahead_of_its_replica(self, seen: int) -> None:
        self.files.sequence += seen
        self.starts()
        tail = self.host.tail
        tail = seed(
            self.memory,
            self.host.lease,
            tail,
            self.files.sequence,
            self.files.living(),
            self.files.image,
        )
        self.host.log = LogWriter(self.memory, self.host.lease, tail)
        self.compactor = Compactor(
            self.memory, self.host.lease, self.host.log, grace=10, clock=self.clock
        )

    @invariant()
    def a_restore_is_what_the_host_has(self) -> None:
        assert restored(self.memory) == self.files.living()
        manifest = newest_manifest(self.memory, HOST)
        assert manifest is not None
        assert manifest.tail.sequence <= self.files.sequence


Life.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestLife = Life.TestCase
