"""The log: what was acknowledged is read by everyone after, in order, whatever fails."""

from __future__ import annotations

import threading

import pytest

from storage.errors import LeaseLost, ObjectStoreFailed, ReplicaCorrupt
from storage.objects import FolderStore, ObjectStore
from storage.replica import Lease, LogReader, LogWriter, take_over
from storage.replica.names import BEGIN, Position, Tail, slot_key
from storage.replica.slot import encode_records
from storage.testing.objects import FaultyStore, MemoryStore, StoreCall, fail, failing
from tests.storage.replica.kit import HOST, Clock, Host, contents, cut, numbered


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def slots(store: MemoryStore) -> list[str]:
    return store.list(f"log/{HOST}/")


# -- appending --------------------------------------------------------------------------


def test_records_are_read_in_order_over_slots_and_incarnations(store: MemoryStore) -> None:
    written = []
    for text in (b"a", b"b", b"c"):
        host = Host(store)
        assert host.found == written
        written += host.write(text + b"1")
        written += host.write(text + b"2", text + b"3")
    assert contents(store) == written
    assert [sequence for sequence, _ in written] == list(range(1, 10))


def test_a_reader_may_begin_behind_any_record(store: MemoryStore) -> None:
    host = Host(store)
    written = host.write(b"1", b"2", b"3") + host.write(b"4", b"5")
    for sequence in range(6):
        start = Tail(sequence, BEGIN.position)
        assert contents(store, start) == written[sequence:]
    assert contents(store, Tail(3, Position(1, 2))) == written[3:]
    assert contents(store, host.log.tail) == []


def test_the_tail_is_found_without_reading_the_whole_log(store: MemoryStore) -> None:
    for _ in range(3):
        host = Host(store)
        for _ in range(20):
            host.write(b"x")
    Host(store)  # one that wrote nothing
    seen: list[StoreCall] = []
    tail = LogReader(FaultyStore(store, seen.append), HOST).tail()
    assert tail == Tail(60, Position(3, 21))
    assert len([one for one in seen if one.method == "get"]) < 2 * 12


def test_records_that_do_not_follow_are_refused_before_anything_is_written(
    store: MemoryStore,
) -> None:
    host = Host(store)
    host.write(b"1", b"2")
    before = dict(store.objects)
    for records in ([], [(2, b"")], [(4, b"")], [(3, b""), (5, b"")], [(3, b""), (3, b"")]):
        with pytest.raises(ValueError, match=r"follow|at least one"):
            host.log.append(records)
    assert store.objects == before
    host.write(b"3")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_append_that_failed_is_carried_on_by_the_same_call(
    store: MemoryStore, moment: str
) -> None:
    faulty = FaultyStore(store)
    host = Host(faulty)
    faulty.hook = failing(1, moment)  # type: ignore[arg-type]
    records = numbered(0, b"1", b"2")
    with pytest.raises(ObjectStoreFailed):
        host.log.append(records)
    assert host.log.acknowledged == 0
    host.log.append(records)
    assert host.log.acknowledged == 2
    assert contents(store) == records
    assert len(slots(store)) == 1


def test_a_record_is_acknowledged_only_behind_all_before_it(store: MemoryStore) -> None:
    arrived = threading.Semaphore(0)
    faulty = FaultyStore(store)
    host = Host(faulty)
    faulty.hook = lambda call: arrived.release() if call.moment == "after" else None
    staged = [host.log.stage(numbered(number, b"%d" % number)) for number in range(4)]
    acknowledged: list[int] = []

    def send(number: int) -> None:
        host.log.send(staged[number])
        acknowledged.append(number)

    threads = [threading.Thread(target=send, args=(number,)) for number in (3, 2, 1)]
    for one in threads:
        one.start()
    for _ in threads:
        arrived.acquire()
    assert host.log.acknowledged == 0
    assert acknowledged == []
    assert contents(store) == []
    host.log.send(staged[0])
    for one in threads:
        one.join()
    assert host.log.acknowledged == 4
    assert sorted(acknowledged) == [1, 2, 3]
    assert len(contents(store)) == 4


def test_who_waits_behind_a_failed_slot_hears_of_it_and_may_go_on(store: MemoryStore) -> None:
    faulty = FaultyStore(store)
    host = Host(faulty)
    first, second = (host.log.stage(numbered(number, b"x")) for number in (0, 1))
    errors: list[BaseException] = []

    def send_second() -> None:
        try:
            host.log.send(second)
        except ObjectStoreFailed as error:
            errors.append(error)

    arrived = threading.Event()
    faulty.hook = lambda call: arrived.set() if call.moment == "after" else None
    thread = threading.Thread(target=send_second)
    thread.start()
    arrived.wait()
    faulty.hook = fail
    with pytest.raises(ObjectStoreFailed):
        host.log.send(first)
    thread.join()
    assert len(errors) == 1
    assert first.key in str(errors[0])
    faulty.hook = lambda call: None
    host.log.send(first)
    assert host.log.acknowledged == 2
    host.log.send(second)


def test_a_lapsed_lease_stops_the_log_before_anything_is_written(store: MemoryStore) -> None:
    clock = Clock()
    host = Host(store, clock)
    host.write(b"1")
    before = dict(store.objects)
    clock.move(60)
    for _ in range(2):
        with pytest.raises(LeaseLost):
            host.log.append(numbered(1, b"2"))
    assert store.objects == before


# -- taking over ------------------------------------------------------------------------


def test_an_old_incarnation_meets_the_seal_and_stops_for_good(store: MemoryStore) -> None:
    clock = Clock()
    old = Host(store, clock)
    written = old.write(b"1")
    new = Host(store)
    assert new.found == written
    with pytest.raises(LeaseLost, match="sealed"):
        old.log.append(numbered(1, b"never"))
    with pytest.raises(LeaseLost):
        old.log.stage(numbered(1, b"never"))
    with pytest.raises(LeaseLost):
        old.lease.check()
    written += new.write(b"2")
    assert contents(store) == written


def test_slots_that_overtook_the_seal_are_void(store: MemoryStore) -> None:
    old = Host(store)
    old.write(b"1")
    staged = [old.log.stage(numbered(number, b"void")) for number in (1, 2, 3)]
    for one in staged[1:]:
        assert store.create(one.key, one.data)
    new = Host(store)
    assert new.found == [(1, b"1")]
    assert new.tail.sequence == 1
    with pytest.raises(LeaseLost):
        old.log.send(staged[0])
    assert new.write(b"2") == [(2, b"2")]
    assert contents(store) == [(1, b"1"), (2, b"2")]
    assert Host(store).found == [(1, b"1"), (2, b"2")]


def test_an_incarnation_that_never_wrote_is_sealed_too(store: MemoryStore) -> None:
    first = Host(store)
    asleep = Lease.claim(store, HOST, clock=Clock())  # and then nothing, for a long time
    new = Host(store)
    new.write(b"1")
    late = LogWriter(store, asleep, Tail(0, Position(asleep.token, 1)))
    for log in (first.log, late):
        with pytest.raises(LeaseLost):
            log.append(numbered(0, b"never"))
    with pytest.raises(LeaseLost):
        take_over(store, asleep)
    assert contents(store) == [(1, b"1")]


def test_a_takeover_may_be_repeated_and_finds_the_same_end(store: MemoryStore) -> None:
    Host(store).write(b"1", b"2")
    lease = Lease.claim(store, HOST, clock=Clock())
    tails = {take_over(store, lease) for _ in range(3)}
    assert tails == {Tail(2, Position(2, 1))}
    seals = [key for key in slots(store) if LogReader(store, HOST).read(_place(key)).is_seal]
    assert len(seals) == 1


def _place(key: str) -> Position:
    _, token, slot = key.rsplit("/", 2)
    return Position(int(token), int(slot))


def test_a_takeover_cut_at_any_moment_is_finished_by_the_next() -> None:
    for moment in range(1, 200):
        store = MemoryStore()
        Host(store).write(b"1")
        asleep = Host(store)
        written = asleep.found + asleep.write(b"2")
        try:
            Host(FaultyStore(store, cut(moment)))
        except ObjectStoreFailed:
            new = Host(store)
        else:
            break
        assert new.found == written
        with pytest.raises(LeaseLost):
            asleep.write(b"never")
        written += new.write(b"3")
        assert contents(store) == written
    assert 20 < moment < 199


def test_a_takeover_that_another_one_overtakes_is_lost(store: MemoryStore) -> None:
    Host(store).write(b"1")
    lease = Lease.claim(store, HOST, clock=Clock())

    def overtake(call: StoreCall) -> None:
        if call.key.startswith("log/") and not newer:
            newer.append(Lease.claim(store, HOST, clock=Clock()))

    newer: list[Lease] = []
    with pytest.raises(LeaseLost, match="token 3 has been claimed"):
        take_over(FaultyStore(store, overtake), lease)
    assert take_over(store, newer[0]).sequence == 1


def test_a_writer_faster_than_the_seal_keeps_its_slot(store: MemoryStore) -> None:
    old = Host(store)
    old.write(b"1")
    faulty = FaultyStore(store)
    lease = Lease.claim(store, HOST, clock=Clock())
    written = []

    def race(call: StoreCall) -> None:
        sealing = call.method == "create" and call.key.startswith("log/")
        if sealing and call.moment == "before" and len(written) < 3:
            written.extend(old.write(b"fast"))

    faulty.hook = race
    assert take_over(faulty, lease).sequence == 4
    assert len(written) == 3
    with pytest.raises(LeaseLost):
        old.write(b"never")


# -- damage -----------------------------------------------------------------------------


@pytest.fixture
def three(store: MemoryStore) -> MemoryStore:
    """Three slots of an incarnation that is sealed, and two of the newest."""
    host = Host(store)
    for _ in range(3):
        host.write(b"x")
    host = Host(store)
    host.write(b"y")
    host.write(b"y")
    return store


@pytest.mark.parametrize("place", [Position(1, slot) for slot in (1, 2, 3, 4)] + [Position(2, 1)])
def test_an_acknowledged_slot_that_has_gone_is_damage(three: MemoryStore, place: Position) -> None:
    key = slot_key(HOST, place)
    three.delete(key)
    with pytest.raises(ReplicaCorrupt) as caught:
        contents(three)
    assert caught.value.key == key


@pytest.mark.parametrize("place", [Position(1, slot) for slot in (1, 2, 3)] + [Position(2, 1)])
def test_a_takeover_never_seals_a_hole_in_what_was_acknowledged(
    three: MemoryStore, place: Position
) -> None:
    three.delete(slot_key(HOST, place))
    with pytest.raises(ReplicaCorrupt):
        Host(three)
    assert slot_key(HOST, place) not in three.objects


@pytest.mark.parametrize("place", [Position(1, slot) for slot in (1, 2, 3, 4)] + [Position(2, 2)])
def test_a_damaged_slot_is_damage_and_names_itself(three: MemoryStore, place: Position) -> None:
    key = slot_key(HOST, place)
    three.objects[key] = three.objects[key][:-1] + b"?"
    with pytest.raises(ReplicaCorrupt) as caught:
        contents(three)
    assert caught.value.key == key


def test_records_before_the_damage_are_read(three: MemoryStore) -> None:
    key = slot_key(HOST, Position(1, 3))
    three.objects[key] = b""
    found = LogReader(three, HOST).records()
    assert [next(found), next(found)] == [(1, b"x"), (2, b"x")]
    with pytest.raises(ReplicaCorrupt):
        next(found)


def test_sequences_that_do_not_follow_are_damage(store: MemoryStore) -> None:
    host = Host(store)
    host.write(b"1")
    place = Position(1, 2)
    store.put(slot_key(HOST, place), encode_records(HOST, place, host.lease.nonce, 1, [(3, b"3")]))
    with pytest.raises(ReplicaCorrupt, match="2 should be next"):
        contents(store)


def test_a_log_whose_beginning_has_gone_is_damage(store: MemoryStore) -> None:
    host = Host(store)
    host.write(b"1")
    host.write(b"2")
    with pytest.raises(ReplicaCorrupt):
        contents(store, Tail(0, Position(1, 2)))


def test_a_takeover_in_the_middle_of_a_listing_is_no_damage(store: MemoryStore) -> None:
    old = Host(store)
    written = old.write(b"1")
    seal = slot_key(HOST, Position(1, 2))

    class Paged(MemoryStore):
        """The first listing is in two pages: a takeover happens behind the first one."""

        pages = 0

        def list(self, prefix: str, after: str = "") -> list[str]:
            self.pages += 1
            if self.pages > 1:
                return super().list(prefix, after)
            written.extend(Host(store).write(b"2"))
            return [key for key in super().list(prefix, after) if key != seal]

    paged = Paged()
    paged.objects = store.objects
    assert list(LogReader(paged, HOST).records()) == written
    assert [text for _, text in written] == [b"1", b"2"]


# -- in a folder ------------------------------------------------------------------------


def test_a_log_in_a_folder_outlives_its_process(tmp_path: object) -> None:
    def again() -> ObjectStore:
        return FolderStore(str(tmp_path))

    written = Host(again()).write(b"1", b"2")
    host = Host(again())
    assert host.found == written
    written += host.write(b"3")
    assert contents(again()) == written
