"""Two incarnations, whatever happens between them: what one acknowledged the other one has."""

from __future__ import annotations

import contextlib
from functools import partial

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from storage.errors import LeaseLost, ObjectStoreFailed
from storage.replica import Lease, LogWriter, StagedSlot, take_over
from storage.replica.slot import LogRecord
from storage.testing.objects import FaultyStore, MemoryStore, StoreCall, fail
from tests.storage.replica.kit import HOST, Clock, Host, at_moment, contents, cut, numbered


def life(store: FaultyStore, acknowledged: list[LogRecord]) -> None:
    """A whole life of a host, from its claim on; what it could acknowledge."""
    host = Host(store)
    for number in range(3):
        records = numbered(host.log.acknowledged, b"old %d" % number, b"and more")
        host.log.append(records)
        acknowledged += records
        host.lease.renew()


@pytest.mark.parametrize("successors", [1, 2])
def test_a_host_paused_at_any_store_call_never_acknowledges_beside_its_successor(
    successors: int,
) -> None:
    fenced = 0
    for pause in range(1, 1000):
        store = MemoryStore()
        acknowledged = Host(store).write(b"first")
        others: list[LogRecord] = []
        during = partial(succeed, store, others, successors)
        try:
            life(FaultyStore(store, at_moment(pause, during)), acknowledged)
        except LeaseLost:
            fenced += 1
        if not others:
            break
        # The others acknowledged each in turn, and after what the paused one had by then.
        both = sorted(acknowledged + others)
        assert len({sequence for sequence, _ in both}) == len(both)
        found = contents(store)
        assert [one for one in found if one in both] == both
        assert [sequence for sequence, _ in found] == list(range(1, len(found) + 1))
    assert fenced > 30


def succeed(store: MemoryStore, acknowledged: list[LogRecord], successors: int) -> None:
    for _ in range(successors):
        host = Host(store)
        acknowledged += host.write(b"new 1")
        acknowledged += host.write(b"new 2")


def test_a_host_paused_for_good_keeps_nobody_from_going_on() -> None:
    for pause in range(1, 200):
        store = MemoryStore()
        acknowledged: list[LogRecord] = []
        try:
            life(FaultyStore(store, cut(pause)), acknowledged)
        except ObjectStoreFailed:
            new = Host(store)
        else:
            break
        assert new.found[: len(acknowledged)] == acknowledged
        written = new.found + new.write(b"goes on")
        assert contents(store) == written
    assert 40 < pause < 199


class Fencing(RuleBasedStateMachine):
    """Any number of incarnations, alive, asleep or cut off; calls that fail or lose their answer.

    The model: per sequence the bytes that somebody acknowledged. A reader finds all of them, and
    perhaps later records that were written and not acknowledged.
    """

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryStore()
        self.acknowledged: dict[int, bytes] = {}
        self.logs: list[LogWriter] = []
        self.waiting: list[Lease] = []
        self.under_way: list[tuple[LogWriter, StagedSlot, list[LogRecord]]] = []
        self.made = 0

    def store(self, faults: list[str]) -> FaultyStore:
        """A store whose calls go as listed, and well afterwards."""

        def hook(call: StoreCall) -> None:
            if call.number <= len(faults) and faults[call.number - 1] == call.moment:
                fail(call)

        return FaultyStore(self.memory, hook)

    faults = st.lists(st.sampled_from(["well", "well", "well", "before", "after"]), max_size=6)

    @rule(faults=faults)
    def claims(self, faults: list[str]) -> None:
        with contextlib.suppress(ObjectStoreFailed):
            self.waiting.append(Lease.claim(self.store(faults), HOST, clock=Clock()))

    @precondition(lambda self: self.waiting)
    @rule(faults=faults, data=st.data())
    def takes_over(self, faults: list[str], data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.waiting))
        try:
            tail = take_over(self.store(faults), lease)
        except ObjectStoreFailed:
            return  # it may try again
        except LeaseLost:
            self.waiting.remove(lease)
            return
        self.waiting.remove(lease)
        newest = max(self.acknowledged, default=0)
        assert tail.sequence >= newest
        self.logs.append(LogWriter(self.store([]), lease, tail))

    @precondition(lambda self: self.logs)
    @rule(data=st.data(), count=st.integers(1, 3))
    def stages(self, data: st.DataObject, count: int) -> None:
        log = data.draw(st.sampled_from(self.logs))
        behind = max([log.acknowledged, *(s.last for one, s, _ in self.under_way if one is log)])
        self.made += 1
        records = numbered(behind, *(b"%d.%d" % (self.made, n) for n in range(count)))
        try:
            self.under_way.append((log, log.stage(records), records))
        except LeaseLost:
            self.logs.remove(log)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), fault=st.sampled_from(["well", "before", "after"]))
    def sends(self, data: st.DataObject, fault: str) -> None:
        """One staged slot, in any order; acknowledged as far as its log says so afterwards."""
        log, staged, _ = data.draw(st.sampled_from(self.under_way))
        log._store = self.store([fault])
        try:
            log._put(staged)  # `send` without the waiting, which has tests of its own
        except ObjectStoreFailed:
            pass
        except LeaseLost:
            self.under_way = [one for one in self.under_way if one[0] is not log]
        for one in list(self.under_way):
            if one[0] is log and one[1].last <= log.acknowledged:
                self.under_way.remove(one)
                for sequence, text in one[2]:
                    assert sequence not in self.acknowledged, "acknowledged by two"
                    self.acknowledged[sequence] = text

    @invariant()
    def a_reader_finds_what_was_acknowledged_and_no_less(self) -> None:
        found = contents(self.memory)
        assert [sequence for sequence, _ in found] == list(range(1, len(found) + 1))
        for sequence, text in self.acknowledged.items():
            assert found[sequence - 1] == (sequence, text)


Fencing.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestFencing = Fencing.TestCase
