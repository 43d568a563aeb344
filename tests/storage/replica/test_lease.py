"""Leases: one incarnation at a time serves, whatever answers are lost and clocks do."""

from __future__ import annotations

import pickle
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import LeaseLost, ObjectKeyInvalid, ObjectStoreFailed, ReplicaCorrupt
from storage.replica import Lease, LeaseObserver
from storage.replica.lease import MARGIN, boottime
from storage.replica.names import claim_key
from storage.testing.objects import FaultyStore, MemoryStore, StoreCall, fail, failing
from tests.storage.replica.kit import HOST, Clock

TTL = 10.0


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def claim(store: MemoryStore | FaultyStore, clock: Clock) -> Lease:
    return Lease.claim(store, HOST, ttl=TTL, clock=clock)


# -- claiming ---------------------------------------------------------------------------


def test_each_claim_gets_the_next_token_and_a_nonce_of_its_own(
    store: MemoryStore, clock: Clock
) -> None:
    leases = [claim(store, clock) for _ in range(11)]
    assert [one.token for one in leases] == list(range(1, 12))
    assert len({one.nonce for one in leases}) == 11
    assert Lease.claim(store, "another", clock=clock).token == 1


def test_of_racing_claims_of_one_token_exactly_one_wins(store: MemoryStore, clock: Clock) -> None:
    start = threading.Barrier(8)
    won: list[int] = []
    lost: list[int] = []

    def meet(call: StoreCall) -> None:
        if call.method == "create" and call.moment == "before":
            start.wait()

    def run() -> None:
        try:
            won.append(claim(FaultyStore(store, meet), clock).token)
        except LeaseLost as error:
            lost.append(error.token)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert won == [1]
    assert lost == [1] * 7


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_claim_whose_answer_was_lost_is_repeated_without_harm(
    store: MemoryStore, clock: Clock, moment: str
) -> None:
    faulty = FaultyStore(store, failing(1, moment))  # type: ignore[arg-type]
    with pytest.raises(ObjectStoreFailed):
        claim(faulty, clock)
    lease = claim(faulty, clock)
    assert lease.token == (2 if moment == "after" else 1)
    lease.renew()


def test_a_host_is_one_part_of_a_key(store: MemoryStore, clock: Clock) -> None:
    for host in ("a/b", "", "..", "a b"):
        with pytest.raises(ObjectKeyInvalid):
            Lease.claim(store, host, clock=clock)
    assert store.objects == {}


# -- holding ----------------------------------------------------------------------------


def test_a_lease_holds_until_its_time_less_the_margin_and_not_longer(
    store: MemoryStore, clock: Clock
) -> None:
    lease = claim(store, clock)
    clock.move(TTL * (1 - MARGIN) - 0.01)
    lease.check()
    clock.move(0.01)
    with pytest.raises(LeaseLost, match="not renewed in time") as caught:
        lease.check()
    assert (caught.value.host, caught.value.token) == (HOST, 1)


def test_its_time_runs_from_the_start_of_the_renewal_not_from_its_answer(
    store: MemoryStore, clock: Clock
) -> None:
    faulty = FaultyStore(store)
    lease = claim(faulty, clock)
    faulty.hook = lambda call: clock.move(1.0)
    start = clock.now
    lease.renew()
    assert clock.now > start + 3
    clock.now = start + TTL * (1 - MARGIN) - 0.01
    lease.check()
    clock.now = start + TTL * (1 - MARGIN)
    with pytest.raises(LeaseLost):
        lease.check()


def test_its_time_runs_from_the_start_of_the_claim(store: MemoryStore, clock: Clock) -> None:
    faulty = FaultyStore(store, lambda call: clock.move(3.0))
    lease = claim(faulty, clock)  # its create takes six of the eight
    clock.move(1.9)
    lease.check()
    clock.move(0.1)
    with pytest.raises(LeaseLost):
        lease.check()


def test_a_renewal_answered_after_the_deadline_does_not_revive_the_lease(
    store: MemoryStore, clock: Clock
) -> None:
    faulty = FaultyStore(store)
    lease = claim(faulty, clock)
    clock.move(7)
    faulty.hook = lambda call: clock.move(1.5 if call.method == "put" else 0)
    with pytest.raises(LeaseLost):
        lease.renew()


def test_a_lease_once_lost_stays_lost(store: MemoryStore, clock: Clock) -> None:
    lease = claim(store, clock)
    clock.move(TTL)
    for act in (lease.check, lease.renew, lease.check):
        with pytest.raises(LeaseLost):
            act()
    assert "heartbeats" not in "".join(store.objects)


def test_a_renewal_that_failed_leaves_the_time_that_was_left(
    store: MemoryStore, clock: Clock
) -> None:
    faulty = FaultyStore(store)
    lease = claim(faulty, clock)
    clock.move(5)
    faulty.hook = fail
    with pytest.raises(ObjectStoreFailed):
        lease.renew()
    clock.move(2.9)
    lease.check()
    faulty.hook = lambda call: None
    lease.renew()
    clock.move(7.9)
    lease.check()


def test_a_renewal_notices_a_newer_claim(store: MemoryStore, clock: Clock) -> None:
    lease = claim(store, clock)
    claim(store, clock)
    with pytest.raises(LeaseLost, match="token 2 has been claimed"):
        lease.renew()
    with pytest.raises(LeaseLost):
        lease.check()


@pytest.mark.parametrize("back", [0.001, 5.0, 10_000.0])
def test_a_clock_set_back_ends_the_lease_instead_of_stretching_it(
    store: MemoryStore, clock: Clock, back: float
) -> None:
    lease = claim(store, clock)
    clock.move(6)
    lease.check()
    clock.move(-back)
    with pytest.raises(LeaseLost, match="clock went back"):
        lease.check()
    clock.move(back)
    with pytest.raises(LeaseLost):
        lease.check()


def test_the_clock_of_a_lease_is_not_the_one_that_people_set() -> None:
    assert boottime() <= boottime()
    assert abs(boottime() - Lease.claim(MemoryStore(), HOST).check()) < 60


def test_a_lost_lease_travels_between_processes_with_its_fields(
    store: MemoryStore, clock: Clock
) -> None:
    error = claim(store, clock).lose("a test says so")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.host, copy.token, str(copy)) == (HOST, 1, str(error))


# -- watching ---------------------------------------------------------------------------


def test_a_host_that_never_was_is_dead_and_a_claim_alone_counts_as_life(
    store: MemoryStore, clock: Clock
) -> None:
    observer = LeaseObserver(store, HOST, clock=clock)
    assert observer.dead()
    claim(store, clock)
    assert not observer.dead()
    assert observer.token == 1


def test_a_host_is_dead_when_its_heartbeat_did_not_change_for_its_ttl(
    store: MemoryStore, clock: Clock
) -> None:
    lease, observer = claim(store, clock), LeaseObserver(store, HOST, clock=clock)
    for _ in range(5):
        lease.renew()
        assert not observer.dead()
        clock.move(TTL / 2)
        assert not observer.dead()
    clock.move(TTL / 2)
    assert not observer.dead()
    clock.move(0.01)
    assert observer.dead()


def test_an_observer_that_has_just_come_waits_a_whole_ttl(store: MemoryStore, clock: Clock) -> None:
    claim(store, clock)
    clock.move(1000)
    observer = LeaseObserver(store, HOST, clock=clock)
    assert not observer.dead()
    clock.move(TTL + 0.01)
    assert observer.dead()


def test_a_look_that_takes_long_counts_from_its_end(store: MemoryStore, clock: Clock) -> None:
    lease = claim(store, clock)

    def during(call: StoreCall) -> None:
        if call.method == "list" and call.moment == "after":
            clock.move(5)
            lease.renew()

    slow = FaultyStore(store, during)
    observer = LeaseObserver(slow, HOST, clock=clock)
    assert not observer.dead()
    slow.hook = lambda call: None
    clock.move(TTL * (1 - MARGIN) - 0.1)
    lease.check()
    assert not observer.dead()


def test_a_new_incarnation_is_watched_afresh(store: MemoryStore, clock: Clock) -> None:
    claim(store, clock)
    observer = LeaseObserver(store, HOST, clock=clock)
    observer.dead()
    clock.move(TTL + 1)
    claim(store, clock)
    assert not observer.dead()
    assert observer.token == 2


def test_a_released_lease_is_dead_at_once_and_its_holder_stops(
    store: MemoryStore, clock: Clock
) -> None:
    lease, observer = claim(store, clock), LeaseObserver(store, HOST, clock=clock)
    assert not observer.dead()
    lease.release()
    lease.release()
    assert observer.dead()
    assert observer.dead()
    with pytest.raises(LeaseLost, match="released"):
        lease.check()


def test_an_observer_whose_clock_is_set_back_waits_longer_and_not_for_ever(
    store: MemoryStore, clock: Clock
) -> None:
    claim(store, clock)
    observer = LeaseObserver(store, HOST, clock=clock)
    observer.dead()
    clock.move(-500)
    assert not observer.dead()
    clock.move(TTL)
    assert not observer.dead()
    clock.move(0.01)
    assert observer.dead()


def test_a_damaged_claim_is_an_error_that_names_it(store: MemoryStore, clock: Clock) -> None:
    claim(store, clock)
    store.objects[claim_key(HOST, 1)] = b"{"
    with pytest.raises(ReplicaCorrupt) as caught:
        LeaseObserver(store, HOST, clock=clock).dead()
    assert caught.value.key == claim_key(HOST, 1)


@given(
    st.lists(st.tuples(st.sampled_from(["renew", "look", "wait"]), st.floats(0, 4)), max_size=40)
)
def test_who_is_counted_dead_has_stopped_however_slow_its_calls_are(
    steps: list[tuple[str, float]],
) -> None:
    store, clock = MemoryStore(), Clock()
    slow = FaultyStore(store)
    lease = Lease.claim(slow, HOST, ttl=TTL, clock=clock)
    observer = LeaseObserver(store, HOST, clock=clock)
    for step, seconds in steps:
        if step == "wait":
            clock.move(seconds)
        elif step == "look":
            if observer.dead():
                with pytest.raises(LeaseLost):
                    lease.check()
        else:
            slow.hook = lambda call, seconds=seconds: _slowly(clock, observer, lease, seconds)
            try:
                lease.renew()
            except LeaseLost:
                return


def _slowly(clock: Clock, observer: LeaseObserver, lease: Lease, seconds: float) -> None:
    """Inside a call of the holder: time passes, and the observer looks."""
    clock.move(seconds)
    if observer.dead():
        with pytest.raises(LeaseLost):
            lease.check()
