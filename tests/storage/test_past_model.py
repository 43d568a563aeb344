"""Whatever happens to a tree, and whenever its process ends, every bookmark leads back."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sized
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storage.errors import StorageError
from storage.past import bookmark_at
from tests.storage.past_model import FAR, Past, Place, below
from tests.storage.scratch import scratch

PLACES: list[Place] = [("a",), ("b",), ("a", "x"), ("a", "y"), ("a", "x", "p"), ("b", "x")]
JOBS = ["clone", "past clone", "compact", "restore"]
SIZES = st.sampled_from([10, 3000, 9000])
DEATHS = st.sampled_from([0, 1, 2, 3, 5, 8, 12, 20, FAR])
RECOVERIES = st.sampled_from([FAR, FAR, 1, 3, 6, 10])


@pytest.fixture(autouse=True, scope="module")
def _small_segments() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("storage.segment.STEP", 64 << 10)
        patch.setattr("storage.journal.STEP", 64 << 10)
        yield


def at_most(sized: Sized) -> st.SearchStrategy[int]:
    return st.integers(0, len(sized) - 1)


class Lives(RuleBasedStateMachine):
    """Actors that are written, moved, deleted, cloned, restored and compacted, with crashes in
    between and in the middle of each."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=self.directory))
        self.past = Past(self.folder / "state")

    directory = ""

    def teardown(self) -> None:
        if hasattr(self, "past"):
            self.past.check_past()
            self.past.close()
            shutil.rmtree(self.folder)

    def one(self, data: st.DataObject) -> Place:
        return data.draw(st.sampled_from(sorted(self.past.state)))

    def do(self, act: str, data: st.DataObject) -> None:
        """One thing that may happen in a process, if it can happen now."""
        past = self.past
        alive = bool(past.state)
        if act == "put":
            past.put(data.draw(st.sampled_from(PLACES)), data.draw(SIZES))
        elif act in ("mark", "sync", "tend"):
            getattr(past, act)()
        elif act == "run":
            past.run(data.draw(st.integers(1, 3)))
        elif act == "delete" and alive:
            past.delete(self.one(data))
        elif act == "clone" and alive and len(past.state) < 25:
            source, target = self.one(data), data.draw(st.sampled_from(PLACES))
            if source != target:
                past.start_clone(source, target)
        elif act == "move" and alive:
            free = [one for one in PLACES if one not in past.state]
            place = self.one(data)
            there = [one for one in free if not below(one, place)]
            if there:
                past.move(place, data.draw(st.sampled_from(there)))
        elif act == "past clone" and alive and past.marks and len(past.state) < 25:
            source, target = self.one(data), data.draw(st.sampled_from(PLACES))
            if source != target:
                past.start_past_clone(source, target, data.draw(at_most(past.marks)))
        elif act == "compact" and alive:
            place = self.one(data)
            if past.state[place].rows is not None:
                past.start_compact(place)
        elif act == "restore" and alive and past.marks:
            past.start_restore(self.one(data), data.draw(at_most(past.marks)))
        elif act in ("finish", "cancel") and past.jobs:
            getattr(past, act)(data.draw(at_most(past.jobs)))

    @rule(data=st.data(), act=st.sampled_from(["put", "put", "delete", "move", "mark", "run"]))
    def write(self, data: st.DataObject, act: str) -> None:
        self.do(act, data)

    @rule(data=st.data(), act=st.sampled_from(["sync", "tend", "run", "mark"]))
    def keep(self, data: st.DataObject, act: str) -> None:
        self.do(act, data)

    @precondition(lambda self: self.past.state)
    @rule(data=st.data(), act=st.sampled_from(JOBS))
    def start(self, data: st.DataObject, act: str) -> None:
        self.do(act, data)

    @precondition(lambda self: self.past.jobs)
    @rule(data=st.data(), act=st.sampled_from(["finish", "finish", "cancel"]))
    def end(self, data: st.DataObject, act: str) -> None:
        self.do(act, data)

    @rule(
        data=st.data(),
        acts=st.lists(
            st.sampled_from(
                [
                    "put",
                    "delete",
                    "move",
                    "sync",
                    "tend",
                    "run",
                    "clone",
                    "compact",
                    "restore",
                    "finish",
                ]
            ),
            max_size=3,
        ),
        death=DEATHS,
        recovery=RECOVERIES,
    )
    def crash(self, data: st.DataObject, acts: list[str], death: int, recovery: int) -> None:
        def all_of_them() -> None:
            for act in acts:
                self.do(act, data)

        self.past.crash(death, all_of_them, recovery)

    @invariant()
    def nobody_holds_what_nobody_uses(self) -> None:
        if hasattr(self, "past") and not self.past.jobs:
            assert not any(one.held for one in self.past.store.databases.live.values())


def test_every_bookmark_leads_back_through_all_that_may_happen() -> None:
    with scratch() as directory:
        Lives.directory = directory
        case = Lives.TestCase
        case.settings = settings(max_examples=60, stateful_step_count=35, deadline=None)
        case().runTest()


# -- the same, one danger at a time ------------------------------------------------------------


@pytest.fixture
def past(memory: Path) -> Any:
    past = Past(memory / "state")
    yield past
    past.check_past()
    past.close()


def crash(past: Past) -> None:
    past.crash(FAR, lambda: None)


A, X, Y = ("a",), ("a", "x"), ("a", "y")


def test_two_compactions_at_once_leave_the_database(past: Past) -> None:
    past.put(A, 10)
    past.start_compact(A)
    past.start_compact(A)
    past.settle()
    past.finish(0)
    past.finish(0)
    past.sync()
    past.check()
    crash(past)


@pytest.mark.parametrize("order", [(0, 0), (1, 0)])
def test_a_compaction_during_a_restore_takes_nothing_from_it(
    past: Past, order: tuple[int, int]
) -> None:
    past.put(A, 10)
    past.mark()
    past.put(A, 10)
    past.start_restore(A, 0)
    past.start_compact(A)
    past.settle()
    for at in order:
        past.finish(at)
    past.check()
    crash(past)


def test_a_facet_made_while_its_parent_is_compacted_stays(past: Past) -> None:
    past.put(A, 10)
    past.put(X, 10)
    past.start_compact(A)
    past.put(Y, 10)
    past.start_compact(X)
    past.finish(1)
    past.finish(0)
    past.check()
    crash(past)


def test_what_a_crash_takes_back_is_not_in_the_history(past: Past) -> None:
    def checkpoint() -> None:
        past.tend()
        past.settle()

    past.put(A, 10)
    past.mark()
    for death in range(12):
        past.put(A, 10)
        past.put(("b",), 10)
        past.crash(death, checkpoint)
        past.mark()


def test_a_delete_that_a_crash_takes_back_leaves_the_bookmarks(past: Past) -> None:
    past.put(A, 10)
    past.put(X, 10)
    past.mark()
    past.put(A, 10)
    past.put(X, 10)
    past.tend()
    past.settle()
    past.delete(A)
    past.settle()
    crash(past)
    assert A in past.state
    past.delete(X)
    past.settle()
    crash(past)
    assert X in past.state


def test_a_commit_is_told_once_whoever_asks_for_it_at_the_same_time(past: Past) -> None:
    past.put(A, 10)
    past.mark()
    past.put(A, 10)
    past.tend()
    past.start_restore(A, 0)
    past.start_restore(A, 0)
    bookmark_at(past.store, past.database(A), 0)
    past.delete(A)
    past.settle()
    past.sync()
    past.put(A, 10)


def test_an_actor_was_there_before_it_had_a_database(past: Past) -> None:
    past.put(X, 10)
    past.mark()
    past.put(A, 10)
    past.mark()
    past.start_restore(A, 0)
    past.put(A, 10)  # and gets one while it goes back to before
    past.finish(0)
    crash(past)


def test_what_was_compacted_and_deleted_is_in_the_history_after_a_crash(past: Past) -> None:
    past.put(A, 10)
    past.put(X, 10)
    past.start_compact(X)
    past.finish(0)
    past.mark()
    past.tend()
    past.settle()
    crash(past)
    past.delete(X)
    past.sync()
    crash(past)
    past.start_restore(A, 0)
    past.finish(0)
    past.check()


def test_a_clone_of_a_past_is_made_or_not_made_wherever_the_process_ends(past: Past) -> None:
    past.put(A, 3000)
    past.put(X, 3000)
    past.mark()
    past.delete(X)
    past.put(A, 10)
    past.sync()
    done: list[int] = []

    def act() -> None:
        past.start_past_clone(A, ("b",), 0)
        past.finish(0)
        past.sync()
        past.settle()
        done.append(death)

    for death in range(50):
        past.crash(death, act)
    assert 0 < len(done) < 50


def test_what_left_a_tree_comes_back_as_a_copy_wherever_the_process_ends(past: Past) -> None:
    past.put(X, 3000)
    past.put((*X, "p"), 10)
    past.mark()
    past.move(X, ("b",))
    past.sync()
    done: list[int] = []

    def act() -> None:
        past.start_restore(A, 0)
        past.finish(0)
        past.sync()
        past.settle()
        done.append(death)

    for death in range(50):
        past.crash(death, act)
    assert 0 < len(done) < 50
    assert ("b", "p") in past.state


def test_a_clone_below_a_root_without_state_begins_its_history(past: Past) -> None:
    past.put(("b",), 10)
    past.mark()
    past.start_clone(("b",), (*X, "p"))
    past.finish(0)
    past.mark()
    past.sync()
    crash(past)
    past.start_restore((*X, "p"), 0)
    past.start_restore((*X, "p"), 1)


def test_what_was_restored_from_a_delete_can_be_copied(past: Past) -> None:
    past.put(A, 10)
    past.put(X, 10)
    kept = past.database(X)
    past.mark()
    past.delete(X)
    past.start_restore(A, 0)
    past.finish(0)
    assert kept is past.database(X)
    past.start_clone(A, ("b",))
    past.finish(0)
    past.check()


def test_what_is_being_copied_can_be_deleted_and_the_copy_is_whole(past: Past) -> None:
    past.put(A, 10)
    past.put(X, 9000)
    past.start_clone(A, ("b",))
    past.delete(A)
    past.put(A, 10)
    past.sync()
    past.finish(0)
    past.check()
    crash(past)


def test_a_root_deleted_while_it_is_restored_stays_deleted(past: Past) -> None:
    past.put(A, 10)
    past.mark()
    past.start_restore(A, 0)
    past.delete(A)
    past.put(A, 10)
    past.finish(0)
    past.check()


def no_history(patch: pytest.MonkeyPatch) -> None:
    """Nothing can be added to a history."""

    def refuse(*_: object) -> None:
        raise StorageError("no room for history")

    patch.setattr("storage.history.log.TreeLog.append", refuse)


def test_an_ending_that_cannot_be_told_is_told_later_and_in_order(past: Past) -> None:
    past.put(A, 10)
    past.put(X, 10)
    past.mark()
    with pytest.MonkeyPatch.context() as patch:
        no_history(patch)
        past.delete(X)
        past.put(A, 10)
        past.put(Y, 10)
        past.mark()
        for _ in range(3):
            past.tend()
            past.settle()
        past.delete(Y)
        past.sync()
        past.settle()
    for _ in range(2):
        past.tend()
        past.settle()
    assert not past.store.chronicler.endings.refused
    assert past.store._checkpointer.needed == past.store.committed + 1


def test_the_journal_keeps_what_the_history_does_not_have(past: Past) -> None:
    past.put(A, 10)
    past.put(X, 10)
    past.mark()
    with pytest.MonkeyPatch.context() as patch:
        no_history(patch)
        past.delete(X)
        for _ in range(40):
            past.put(("b",), 9000)
            past.tend()
            past.settle()
    crash(past)


def test_a_file_that_cannot_be_removed_holds_nobody_up(past: Past) -> None:
    def refuse(*_: object) -> None:
        raise OSError("busy")

    past.put(A, 10)
    path = past.database(A).path
    assert path is not None
    past.delete(A)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("storage.endings.remove", refuse)
        past.sync()
        past.settle()
        past.sync()
        past.settle()
    assert path.exists()
    past.sync()
    past.settle()
    assert not path.exists()
