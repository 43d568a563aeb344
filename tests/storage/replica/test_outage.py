"""Outages of the object store: who is fenced by its disk goes on, everybody else stops."""

from __future__ import annotations

import pytest

from storage.errors import LeaseLapsed, LeaseLost, ObjectStoreFailed
from storage.replica import Lease, LogReader, LogWriter, take_over
from storage.testing.objects import FaultyStore, MemoryStore, fail
from tests.storage.replica.kit import HOST, Clock, Host, numbered


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lapsed(lease: Lease, clock: Clock) -> None:
    clock.move(lease.ttl)
    with pytest.raises(LeaseLapsed):
        lease.check()


def test_a_lapsed_lease_is_taken_up_again_by_its_holder(store: MemoryStore, clock: Clock) -> None:
    lease = Lease.claim(store, HOST, clock=clock)
    lapsed(lease, clock)
    with pytest.raises(LeaseLapsed):
        lease.renew()

    lease.resume()

    lease.check()
    clock.move(lease.ttl / 2)
    lease.renew()
    lapsed(lease, clock)


def test_a_clock_that_went_back_is_no_obstacle_to_taking_it_up(
    store: MemoryStore, clock: Clock
) -> None:
    lease = Lease.claim(store, HOST, clock=clock)
    clock.move(-500)
    with pytest.raises(LeaseLapsed, match="clock went back"):
        lease.check()

    lease.resume()
    lease.check()


def test_a_lease_that_another_has_claimed_meanwhile_is_lost(
    store: MemoryStore, clock: Clock
) -> None:
    lease = Lease.claim(store, HOST, clock=clock)
    lapsed(lease, clock)
    Lease.claim(store, HOST, clock=clock)

    for act in (lease.resume, lease.check, lease.resume):
        with pytest.raises(LeaseLost) as caught:
            act()
        assert type(caught.value) is LeaseLost


def test_a_lease_that_cannot_be_taken_up_stays_lapsed(store: MemoryStore, clock: Clock) -> None:
    faulty = FaultyStore(store)
    lease = Lease.claim(faulty, HOST, clock=clock)
    lapsed(lease, clock)
    faulty.hook = fail

    with pytest.raises(ObjectStoreFailed):
        lease.resume()
    with pytest.raises(LeaseLapsed):
        lease.check()


def test_an_append_that_met_a_lapsed_lease_carries_on_when_it_is_taken_up(
    store: MemoryStore, clock: Clock
) -> None:
    lease = Lease.claim(store, HOST, clock=clock)
    log = LogWriter(store, lease, take_over(store, lease))
    records = numbered(0, b"one", b"two")
    lapsed(lease, clock)
    with pytest.raises(LeaseLapsed):
        log.append(records)
    assert log.acknowledged == 0

    lease.resume()
    log.append(records)

    assert log.acknowledged == 2
    assert list(LogReader(store, HOST).records()) == records


def test_a_lease_taken_up_acknowledges_nothing_behind_a_seal(
    store: MemoryStore, clock: Clock
) -> None:
    claimed = FaultyStore(store)
    lease = Lease.claim(claimed, HOST, clock=clock)
    log = LogWriter(store, lease, take_over(store, lease))
    lapsed(lease, clock)
    newer: list[Host] = []

    def overtake(call: object) -> None:
        if not newer and getattr(call, "method", "") == "list" and call.moment == "after":  # type: ignore[attr-defined]
            newer.append(Host(store))

    claimed.hook = overtake
    lease.resume()  # it looked just before the other one claimed
    lease.check()

    with pytest.raises(LeaseLost, match="sealed"):
        log.append(numbered(0, b"one"))
    assert newer[0].found == []
