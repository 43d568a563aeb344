"""How far a replica reaches is told by what is in it, when nothing else is left of its host."""

from __future__ import annotations

import time

import pytest

from storage.record import Stamp
from storage.replica import Lease, LogWriter, take_over
from storage.replica.entries import pack
from storage.replica.reach import Reach, reach
from storage.testing.objects import MemoryStore
from tests.storage.replica.kit import HOST, Clock


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_of_a_host_that_never_was_nothing_is_there(store: MemoryStore) -> None:
    assert reach(store, HOST) == Reach(0.0, 0.0)


def test_a_host_whose_records_waited_when_it_was_seen_last_lacks_those_seconds(
    store: MemoryStore,
) -> None:
    lease = Lease.claim(store, HOST, clock=Clock())
    lease.lag = lambda: 2.5
    before = time.time()
    lease.renew()
    found = reach(store, HOST)
    assert before <= found.seen + 1e-5 <= time.time() + 1e-5
    assert found.seconds == pytest.approx(2.5)


def test_what_was_uploaded_behind_the_last_sign_of_life_counts(store: MemoryStore) -> None:
    lease = Lease.claim(store, HOST, clock=Clock())
    log = LogWriter(store, lease, take_over(store, lease))
    later = int((time.time() + 60) * 1e6)
    log.append([(1, pack(b"", 0, Stamp(1, later)))])
    found = reach(store, HOST)
    assert found.complete == later / 1e6
    assert found.seconds == 0


def test_a_new_incarnation_that_gave_no_sign_yet_does_not_hide_the_one_before(
    store: MemoryStore,
) -> None:
    Lease.claim(store, HOST, clock=Clock()).renew()
    seen = reach(store, HOST).seen
    Lease.claim(store, HOST, clock=Clock())
    assert reach(store, HOST).seen == seen > 0
