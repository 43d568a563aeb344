"""Compaction: the log gets short, and nothing that a restore needs is ever missing."""

from __future__ import annotations

import threading

import pytest

from storage.errors import LeaseLost, ObjectStoreFailed
from storage.replica import Compactor, Image, Lease, LogWriter, seed, take_over
from storage.replica.manifest import newest_manifest
from storage.replica.names import Position
from storage.testing.objects import FaultyStore, MemoryStore, StoreCall, failing
from tests.storage.replica.kit import (
    HOST,
    Clock,
    Files,
    Host,
    at_moment,
    bound,
    contents,
    created,
    cut,
    deleted,
    numbered,
    page,
    restored,
    wrote,
)

GRACE = 600.0


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def compactor(host: Host, clock: Clock) -> Compactor:
    return Compactor(host.store, host.lease, host.log, grace=GRACE, clock=clock)


def fill(host: Host, files: Files) -> None:
    """Two databases in four slots."""
    host.log.append([files.commit(created(1), wrote(0, 2, {1: b"c1", 2: b"c2"}))])
    host.log.append([files.commit(wrote(1, 2, {1: b"a", 2: b"b"}))])
    host.log.append([files.commit(created(2), wrote(2, 1, {1: b"x"}))])
    host.log.append([files.commit(wrote(1, 3, {3: b"d"}))])


def keys(store: MemoryStore, kind: str) -> list[str]:
    return [key.removeprefix(f"{kind}/{HOST}/") for key in store.list(f"{kind}/{HOST}/")]


# -- publishing -------------------------------------------------------------------------


def test_a_manifest_covers_all_that_was_acknowledged_and_names_every_database(
    store: MemoryStore, clock: Clock
) -> None:
    host, files = Host(store), Files()
    fill(host, files)
    made = compactor(host, clock).compact(files.image)
    assert made == newest_manifest(store, HOST)
    assert made.tail == host.log.tail
    assert [(one.uid, one.sequence) for one in made.snapshots] == [(0, 1), (1, 4), (2, 3)]
    assert restored(store) == files.living()
    assert contents(store) == []


def test_only_databases_that_changed_are_uploaded_again(store: MemoryStore, clock: Clock) -> None:
    host, files = Host(store), Files()
    fill(host, files)
    one = compactor(host, clock)
    one.compact(files.image)
    host.log.append([files.commit(wrote(2, 1, {1: b"y"}))])
    asked: list[int] = []

    def image(uid: int) -> Image:
        asked.append(uid)
        return files.image(uid)

    made = one.compact(image)
    assert asked == [2]
    assert [(one.uid, one.sequence) for one in made.snapshots] == [(0, 1), (1, 4), (2, 5)]
    assert restored(store) == files.living()
    one.compact(image)
    assert asked == [2]


def test_a_deleted_database_is_forgotten_and_not_asked_for(
    store: MemoryStore, clock: Clock
) -> None:
    host, files = Host(store), Files()
    fill(host, files)
    one = compactor(host, clock)
    one.compact(files.image)
    host.log.append([files.commit(wrote(1, 1, {1: b"last"})), files.commit(deleted(1))])
    host.log.append([files.commit(created(3)), files.commit(deleted(3))])
    made = one.compact(lambda uid: pytest.fail(f"asked for {uid}"))
    assert [one.uid for one in made.snapshots] == [0, 2]
    assert restored(store) == files.living()


def test_an_image_older_than_the_log_is_refused(store: MemoryStore, clock: Clock) -> None:
    host, files = Host(store), Files()
    fill(host, files)
    stale = files.image(1)._replace(sequence=2)
    before = newest_manifest(store, HOST)
    with pytest.raises(ValueError, match="as of 2, the log at 4"):
        compactor(host, clock).compact(lambda uid: stale if uid == 1 else files.image(uid))
    assert newest_manifest(store, HOST) == before


def test_a_manifest_waits_until_the_log_has_all_that_its_images_have(
    store: MemoryStore, clock: Clock
) -> None:
    host, files = Host(store), Files()
    fill(host, files)
    ahead = [files.commit(wrote(1, 1, {1: b"ahead"}), wrote(2, 1, {1: b"ahead"}))]
    staged = host.log.stage(ahead)
    uploaded = threading.Event()
    puts = iter(range(3))

    def hook(call: StoreCall) -> None:
        if call.method == "put" and call.moment == "after" and next(puts) == 2:
            uploaded.set()

    one = Compactor(FaultyStore(store, hook), host.lease, host.log)
    thread = threading.Thread(target=one.compact, args=(files.image,))
    thread.start()
    uploaded.wait()
    now = newest_manifest(store, HOST)
    assert now is not None
    assert now.number == 1  # of the takeover
    assert len(contents(store)) == 4
    host.log.send(staged)
    thread.join()
    now = newest_manifest(store, HOST)
    assert now is not None
    assert now.number == 2
    assert now.tail.sequence == 4
    assert restored(store) == files.living()


def test_a_database_that_goes_while_it_is_compacted_is_gone_afterwards(
    store: MemoryStore, clock: Clock
) -> None:
    host, files = Host(store), Files()
    fill(host, files)
    asked: list[int] = []

    def image(uid: int) -> Image:
        if not asked:  # both of these are behind what the manifest will cover
            host.log.append([files.commit(wrote(1, 1, {1: b"late"}))])
            host.log.append([files.commit(deleted(1))])
        asked.append(uid)
        return files.image(uid)

    made = compactor(host, clock).compact(image)
    assert 1 in asked
    assert [one.uid for one in made.snapshots] == [0, 2]
    assert made.tail.sequence == 4
    assert restored(store) == files.living()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_compaction_that_failed_anywhere_is_repeated(
    store: MemoryStore, clock: Clock, number: int, moment: str
) -> None:
    host, files = Host(store), Files()
    fill(host, files)
    faulty = FaultyStore(store, failing(number, moment))  # type: ignore[arg-type]
    one = Compactor(faulty, host.lease, host.log, grace=GRACE, clock=clock)
    with pytest.raises(ObjectStoreFailed):
        one.compact(files.image)
    assert restored(store) == files.living()
    one.compact(files.image)
    assert contents(store) == []
    collect(one, clock)
    assert restored(store) == files.living()
    assert len(keys(store, "manifest")) == 1


# -- collecting -------------------------------------------------------------------------


def test_nothing_is_deleted_before_it_was_superfluous_for_the_grace_period(
    store: MemoryStore, clock: Clock
) -> None:
    host, files = Host(store), Files()
    fill(host, files)
    one = compactor(host, clock)
    one.compact(files.image)
    before = dict(store.objects)
    assert one.collect() == 0
    clock.move(GRACE - 0.1)
    assert one.collect() == 0
    assert store.objects == before
    clock.move(0.1)
    assert one.collect() == 5  # four slots and the manifest of the takeover
    assert keys(store, "log") == []
    assert restored(store) == files.living()


def test_old_snapshots_and_manifests_go_and_the_needed_ones_stay(
    store: MemoryStore, clock: Clock
) -> None:
    host, files = Host(store), Files()
    fill(host, files)
    one = compactor(host, clock)
    for text in (b"1", b"2", b"3"):
        host.log.append([files.commit(wrote(1, 1, {1: text}))])
        one.compact(files.image)
    collect(one, clock)
    assert keys(store, "snap") == ["0000000001/0-1-1", "0000000001/1-1-7", "0000000001/2-1-3"]
    assert keys(store, "manifest") == ["0000000004"]
    assert restored(store) == files.living()
    assert one.collect() == 0


def test_a_clock_set_back_only_delays_deletions(store: MemoryStore, clock: Clock) -> None:
    host, files = Host(store), Files()
    fill(host, files)
    one = compactor(host, clock)
    one.compact(files.image)
    one.collect()
    clock.move(-10_000)
    assert one.collect() == 0
    clock.move(10_000 + GRACE)
    assert one.collect() == 5


def test_seals_and_claims_stay_for_ever_so_that_who_slept_through_it_still_meets_them(
    store: MemoryStore, clock: Clock
) -> None:
    files = Files()
    old = Host(store)
    fill(old, files)
    asleep = Lease.claim(store, HOST, clock=Clock())
    for _ in range(3):
        host = Host(store)
        host.log.append([files.commit(wrote(1, 1, {1: b"x"}))])
        one = compactor(host, clock)
        one.compact(files.image)
        collect(one, clock)
    assert keys(store, "log") == [
        "0000000001/000000000005",
        "0000000002/000000000001",
        "0000000003/000000000002",
        "0000000004/000000000002",
    ]
    before = restored(store)
    with pytest.raises(LeaseLost):
        old.write(b"never")
    late = LogWriter(store, asleep, host.tail._replace(position=Position(asleep.token, 1)))
    with pytest.raises(LeaseLost):
        late.append(numbered(host.tail.sequence, b"never"))
    assert restored(store) == before == files.living()
    assert Lease.claim(store, HOST).token == 6


def test_slots_that_came_too_late_for_their_seal_are_deleted(
    store: MemoryStore, clock: Clock
) -> None:
    old, files = Host(store), Files()
    fill(old, files)
    staged = [old.log.stage(numbered(number, b"void")) for number in (4, 5)]
    store.create(staged[1].key, staged[1].data)
    host = Host(store)
    one = compactor(host, clock)
    one.compact(files.image)
    collect(one, clock)
    assert keys(store, "log") == ["0000000001/000000000005"]
    assert restored(store) == files.living()


def test_an_uploaded_generation_is_kept_until_a_manifest_has_it(
    store: MemoryStore, clock: Clock
) -> None:
    host, files = Host(store), Files()
    fill(host, files)
    one = compactor(host, clock)
    one.add(1, Image(2, 4, page(b"imported")))
    for _ in range(2):
        host.log.append([files.commit(wrote(1, 1, {1: b"meanwhile"}))])
        one.compact(files.image)
        collect(one, clock)
    assert "0000000001/1-2-4" in keys(store, "snap")
    files.staged[1, 2] = page(b"imported")
    host.log.append([files.commit(bound(1, 2))])
    assert restored(store) == files.living()
    one.compact(files.image)
    collect(one, clock)
    assert "0000000001/1-2-4" not in keys(store, "snap")
    assert restored(store) == files.living()


# -- beginning in the middle ------------------------------------------------------------


def test_a_replica_may_begin_with_databases_whose_records_have_gone(store: MemoryStore) -> None:
    lease = Lease.claim(store, HOST, clock=Clock())
    files = Files(sequence=100)
    files.now[1] = Image(1, 90, page(b"old"))
    tail = seed(store, lease, take_over(store, lease), 100, files.now, files.image)
    log = LogWriter(store, lease, tail)
    assert restored(store) == files.living()
    log.append([files.commit(wrote(1, 2, {2: b"new"}))])
    assert restored(store) == files.living()
    successor = Host(store)
    assert successor.tail.sequence == 101
    assert restored(store) == files.living()


def test_a_replica_that_fell_behind_goes_on_at_the_host_s_own_place(store: MemoryStore) -> None:
    host, files = Host(store), Files()
    fill(host, files)
    files.commit(wrote(1, 1, {1: b"not uploaded"}))
    files.commit(deleted(2))
    lease = Lease.claim(store, HOST, clock=Clock())
    tail = take_over(store, lease)
    with pytest.raises(ValueError, match="before it"):
        seed(store, lease, tail, 3, files.living(), files.image)
    tail = seed(store, lease, tail, 6, files.living(), files.image)
    log = LogWriter(store, lease, tail)
    log.append([files.commit(wrote(1, 2, {2: b"new"}))])
    assert restored(store) == files.living()


def test_a_seed_of_a_host_that_lost_its_lease_changes_nothing(store: MemoryStore) -> None:
    lease = Lease.claim(store, HOST, clock=Clock())
    tail = take_over(store, lease)
    host, files = Host(store), Files()
    fill(host, files)
    with pytest.raises(LeaseLost):
        seed(store, lease, tail, 100, [0], lambda uid: Image(1, 100, page(b"stale")))
    assert restored(store) == files.living()


# -- two hosts --------------------------------------------------------------------------


def test_a_compactor_paused_at_any_store_call_harms_nobody_that_came_after(clock: Clock) -> None:
    lost = 0
    for pause in range(1, 300):
        store = MemoryStore()
        others: list[Files] = []

        def during(store: MemoryStore = store, others: list[Files] = others) -> None:
            others.append(Files())
            live(store, clock, others)

        mine: list[Files] = []
        try:
            live(FaultyStore(store, at_moment(pause, during)), clock, mine)
        except LeaseLost:
            lost += 1
            mine = []
        if not others:
            break
        tail = Host(store).tail.sequence
        (last,) = (one for one in mine + others[-1:] if one.sequence == tail)
        assert restored(store) == last.living()
    assert lost > 100


def test_a_manifest_whose_number_has_become_free_again_is_not_taken_for_the_newest(
    store: MemoryStore, clock: Clock
) -> None:
    old, files = Host(store), Files()
    fill(old, files)
    others: list[Files] = []

    def sleep(call: StoreCall) -> None:
        if call.method == "create" and call.key.startswith("manifest/") and not others:
            live(store, clock, others)
            assert call.key not in store.objects

    with pytest.raises(LeaseLost, match="token 2 has published a manifest"):
        Compactor(FaultyStore(store, sleep), old.lease, old.log).compact(files.image)
    assert restored(store) == others[-1].living()


def test_a_compactor_cut_at_any_store_call_is_finished_by_the_next(clock: Clock) -> None:
    for moment in range(1, 300):
        store = MemoryStore()
        files: list[Files] = [Files()]
        files[0].history[0] = files[0].living()
        try:
            live(FaultyStore(store, cut(moment)), clock, files)
        except ObjectStoreFailed:
            host = Host(store)
        else:
            break
        expected = files[-1].history[host.tail.sequence]
        assert restored(store) == expected
        after = Files.recovered(host)
        one = compactor(host, clock)
        one.compact(after.image)
        collect(one, clock)
        assert restored(store) == expected
        assert len(keys(store, "manifest")) == 1
        assert len(keys(store, "snap")) <= len(expected)
    assert 100 < moment < 299


def live(store: FaultyStore | MemoryStore, clock: Clock, lives: list[Files]) -> None:
    """A life with two compactions. Its files, which may be ahead of the log, join `lives`."""
    host = Host(store)
    files = Files.recovered(host)
    lives.append(files)
    one = compactor(host, clock)
    uid = max(files.now) + 1
    host.log.append([files.commit(created(uid), wrote(uid, 1, {1: b"first"}))])
    for text in (b"1", b"2"):
        host.log.append([files.commit(wrote(uid, 2, {2: text}), wrote(0, 1, {1: text}))])
        one.compact(files.image)
        collect(one, clock)
    host.log.append([files.commit(wrote(uid, 2, {1: b"last"}))])


def collect(one: Compactor, clock: Clock) -> None:
    """All that is superfluous now."""
    one.collect()
    clock.move(GRACE)
    one.collect()
