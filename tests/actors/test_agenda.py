"""The head of the queue of all timers, and whose turn it is."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors import agenda as module
from actors.agenda import Agenda
from actors.turns import Turns
from storage import Store

HEAD = 4
ACTORS = 40


class Agendas(RuleBasedStateMachine):
    """Actors with one due time each: what is popped is what is due, the earliest first, and
    the agenda remembers a bounded number."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(module, "HEAD", HEAD)
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store.open(self.folder / "state")
        self.uids = [self.store.catalogue.new_uid() for _ in range(ACTORS)]
        for n, uid in enumerate(self.uids):
            self.store.catalogue.add(uid, 0, "K", f"a{n}")
        self.store.commits.keep_rows(())
        self.crashed = False
        self.true: dict[int, int] = {}
        self.agenda = Agenda(self.store)
        self.now = 0

    def teardown(self) -> None:
        self.patch.undo()
        self.store.close()
        shutil.rmtree(self.folder)

    actors = st.integers(0, ACTORS - 1)

    @rule(actor=actors, wait=st.integers(1, 1_000))
    def schedules(self, actor: int, wait: int) -> None:
        """A commit: the catalogue hears of an earlier time, and not of a later one."""
        uid, due = self.uids[actor], self.now + wait
        self.true[uid] = due
        known = self._known(uid)
        if known is None or due < known:
            self.store.catalogue.set_due(uid, due)
            self.store.commits.keep_rows(())
            known = due
        self.agenda.hear(uid, due, known)

    def _known(self, uid: int) -> int | None:
        return self.store.catalogue.row(uid).due

    @rule(actor=actors)
    def cancels(self, actor: int) -> None:
        uid = self.uids[actor]
        if self.true.pop(uid, None) is not None:
            self.agenda.hear(uid, None, self._known(uid))

    @rule(actor=actors, wait=st.none() | st.integers(1, 1_000))
    def is_replaced(self, actor: int, wait: int | None) -> None:
        uid = self.uids[actor]
        due = None if wait is None else self.now + wait
        if self.store.catalogue.set_due(uid, due):
            self.store.commits.keep_rows(())
        self.store.catalogue.database.rollback()
        self.true.pop(uid, None)
        if due is not None:
            self.true[uid] = due
        self.agenda.replaced({uid: due})

    @rule(wait=st.integers(0, 300), again=st.lists(st.integers(1, 500), max_size=5))
    def time_passes(self, wait: int, again: list[int]) -> None:
        self.now += wait
        popped = []
        while (uid := self.agenda.pop(self.now)) is not None:
            due = self.true.get(uid)
            if due is None or due > self.now:
                self.agenda.hear(uid, due, self._known(uid))  # too early: it is put right
                continue
            popped.append((due, uid))
            del self.true[uid]
            wait = again.pop() if again else 0
            if wait:
                self.true[uid] = self.now + wait
            self.agenda.hear(uid, self.true.get(uid), self._known(uid))
        late = [due for due in self.true.values() if due <= self.now]
        assert late == []

    @rule()
    def tidies(self) -> None:
        self.agenda.correct()
        for uid in self.uids if not self.crashed else ():
            assert self._known(uid) == self.true.get(uid)

    @rule()
    def starts_again(self) -> None:
        """After a crash: what was to be put right in the catalogue is forgotten."""
        self.agenda = Agenda(self.store)
        self.crashed = True

    @rule()
    def reads_again(self) -> None:
        self.agenda.restart()

    @invariant()
    def the_next_is_never_missed(self) -> None:
        first = min(self.true.values(), default=None)
        head = self.agenda.head
        assert first is None or (head is not None and head <= first)
        assert len(self.agenda) <= 5 * HEAD + ACTORS // 8

    @invariant()
    def the_catalogue_is_never_too_late(self) -> None:
        for uid, due in self.true.items():
            known = self._known(uid)
            assert known is not None
            assert known <= due


TestAgenda = Agendas.TestCase
TestAgenda.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_trees_take_turns_and_none_has_more_than_its_share() -> None:
    turns = Turns(share=2)
    for uid in range(5):
        turns.add(1, uid)
    turns.add(2, 10)
    turns.add(3, 20)
    turns.add(1, 0)  # it is queued
    assert len(turns) == 7
    taken = [turns.take() for _ in range(5)]
    assert taken == [(1, 0), (2, 10), (3, 20), (1, 1), None]
    turns.over(2)
    assert turns.take() is None
    turns.over(1)
    assert turns.take() == (1, 2)
    turns.add(2, 11)
    assert turns.take() == (2, 11)
    assert turns.take() is None
    assert len(turns) == 2


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30), st.booleans()), max_size=60),
    st.integers(1, 4),
)
def test_everybody_who_is_queued_is_taken_once(
    what: list[tuple[int, int, bool]], share: int
) -> None:
    turns = Turns(share)
    running: list[int] = []
    queued: Counter[int] = Counter()
    taken: Counter[int] = Counter()

    def take() -> None:
        found = turns.take()
        if found is not None:
            tree, uid = found
            running.append(tree)
            taken[uid] += 1
        assert all(n <= share for n in Counter(running).values())

    for tree, number, ends in what:
        uid = tree * 100 + number
        queued[uid] += uid not in turns
        turns.add(tree, uid)
        take()
        if ends and running:
            turns.over(running.pop(0))
    while len(turns) or running:
        if running:
            turns.over(running.pop())
        take()
    assert taken == queued
