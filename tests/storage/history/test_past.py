"""Every bookmark of real databases can be restored, page by page."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.errors import BookmarkGone, HistoryCorrupt
from storage.history import NOTHING, ORIGIN, Bookmark, Image, Node, changed, rewind
from tests.storage.history.tree import EPOCH, Tree, read_pages, statements


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    tree = Tree(tmp_path / "tree")
    yield tree
    tree.close()


def fill(tree: Tree, uid: int, rng: random.Random, commits: int) -> None:
    for _ in range(commits):
        tree.write(uid, *statements(rng))


@pytest.mark.parametrize("seed", range(3))
def test_every_commit_of_a_random_workload_can_be_restored(tree: Tree, seed: int) -> None:
    rng = random.Random(seed)
    uid = tree.create()
    for _ in range(8):
        fill(tree, uid, rng, rng.randint(1, 6))
        if rng.random() < 0.4:
            tree.vacuum(uid)
        if rng.random() < 0.7:
            tree.flush(uid)
    tree.flush(uid)
    assert tree.check_all() == tree.sequence


def test_databases_of_one_tree_that_flush_at_different_times_go_back_together(tree: Tree) -> None:
    rng = random.Random(5)
    root = tree.create()
    children = [tree.create(root) for _ in range(3)]
    for _ in range(30):
        tree.write(rng.choice([root, *children]), *statements(rng))
        if rng.random() < 0.2:
            tree.flush(rng.choice([root, *children]))
    tree.flush_all()
    tree.check_all(tree.reopened())


def test_a_deleted_actor_comes_back_with_its_content_parent_and_name(tree: Tree) -> None:
    rng = random.Random(1)
    root = tree.create()
    child = tree.create(root)
    fill(tree, child, rng, 4)
    alive = tree.write(root, *statements(rng))
    tree.delete(child)
    fill(tree, root, rng, 2)
    tree.flush_all()
    assert set(tree.rewind(alive).databases) == {root, child}
    assert tree.rewind(alive).databases[child].node == Node(root, "", "actor 2")
    tree.check_all()


def test_a_whole_tree_that_was_deleted_comes_back(tree: Tree) -> None:
    root = tree.create()
    child = tree.create(root)
    full = tree.write(child, *statements(random.Random(2)))
    tree.delete(child)
    tree.delete(root)
    assert tree.nodes == {}
    assert set(tree.rewind(full).databases) == {root, child}
    tree.check_all()


def test_an_actor_made_again_under_its_old_name_is_another_one(tree: Tree) -> None:
    root = tree.create()
    first = tree.create(root)
    before = tree.write(first, *statements(random.Random(3)))
    tree.delete(first)
    again = tree.create(root)
    tree.rename(again, "actor 2")
    after = tree.write(again, *statements(random.Random(4)))
    tree.flush_all()
    assert set(tree.rewind(before).databases) == {root, first}
    assert set(tree.rewind(after).databases) == {root, again}
    tree.check_all()


def test_a_renamed_actor_has_its_old_name_at_an_older_bookmark(tree: Tree) -> None:
    uid = tree.create()
    old = tree.write(uid, *statements(random.Random(5)))
    tree.rename(uid, "new name, with an é")
    new = tree.write(uid, *statements(random.Random(6)))
    tree.flush(uid)
    assert tree.rewind(old).databases[uid].node.name == "actor 1"
    assert tree.rewind(new).databases[uid].node.name == "new name, with an é"


def test_before_its_first_commit_a_tree_is_empty(tree: Tree) -> None:
    tree.flush(tree.create())
    assert tree.rewind(ORIGIN).databases == {}


def test_an_actor_without_a_file_is_part_of_the_tree(tree: Tree) -> None:
    uid = tree.create()
    tree.flush(uid)
    nodes = {**tree.nodes, 99: Node(uid, "", "only a row")}

    def current(asked: int) -> Image:
        return tree.current(asked) if asked == uid else NOTHING

    state = rewind(tree.log, nodes, current, Bookmark(EPOCH, 1))
    assert state.databases[99].node == Node(uid, "", "only a row")
    assert (state.databases[99].size, list(state.databases[99].pages())) == (0, [])


def test_a_restore_is_undone_by_the_bookmark_before_it(tree: Tree) -> None:
    rng = random.Random(7)
    uid = tree.create()
    fill(tree, uid, rng, 3)
    early = Bookmark(EPOCH, tree.sequence)
    fill(tree, uid, rng, 5)
    tree.vacuum(uid)
    late = Bookmark(EPOCH, tree.sequence)
    tree.flush(uid)
    tree.replace(uid, dict(tree.rewind(early).databases[uid].pages()))
    restored = Bookmark(EPOCH, tree.sequence)
    fill(tree, uid, rng, 3)
    tree.flush(uid)
    tree.check(late)
    assert tree.truth[restored] == tree.truth[early]
    tree.check_all()


@pytest.mark.parametrize("join", [2, 3, 50])
def test_a_thinned_history_restores_the_bookmarks_that_it_kept(tree: Tree, join: int) -> None:
    rng = random.Random(join)
    uid = tree.create()
    for _ in range(4):
        fill(tree, uid, rng, 7)
        tree.vacuum(uid)
        tree.flush(uid, join)
    assert tree.check_all() + len(tree.joined) == tree.sequence
    assert tree.joined


def test_a_bookmark_that_was_joined_away_names_its_neighbours(tree: Tree) -> None:
    uid, other = tree.create(), tree.create()
    tree.flush_all()
    before = tree.write(other, "insert into words values ('a', 1)")
    for n in range(3):
        tree.write(uid, f"insert into words values ('{n}', 1)")
    inside = tree.write(other, "insert into words values ('b', 1)")
    after = tree.write(uid, "insert into words values ('c', 1)")
    tree.flush(uid, join=4)
    tree.flush(other)
    with pytest.raises(BookmarkGone, match=f"{before} and {after}"):
        tree.rewind(inside)
    assert [mark.bookmark for mark in tree.log.marks(2)] == [after, before]
    assert tree.log.at(inside.sequence * 1000) == before
    tree.check(before)
    tree.check(after)


def test_a_bookmark_between_two_commits_is_the_state_after_the_first(tree: Tree) -> None:
    uid = tree.create()
    first = tree.write(uid, *statements(random.Random(8)))
    tree.sequence += 10  # commits of other trees of the host
    tree.write(uid, *statements(random.Random(9)))
    tree.flush(uid)
    between = Bookmark(EPOCH, first.sequence + 5)
    tree.truth[between] = tree.truth[first]
    tree.check(between)


def test_a_bookmark_newer_than_the_history_is_the_present(tree: Tree) -> None:
    uid = tree.create()
    newest = tree.write(uid, *statements(random.Random(10)))
    tree.flush(uid)
    future = Bookmark(EPOCH + 1, 5)
    tree.truth[future] = tree.truth[newest]
    tree.check(future)


def test_a_bookmark_older_than_the_history_says_which_is_the_oldest(tree: Tree) -> None:
    uid = tree.create()
    old = tree.write(uid, *statements(random.Random(11)))
    tree.write(uid, *statements(random.Random(12)))
    tree.flush(uid)
    tree.log.cut(tree.mark())
    with pytest.raises(BookmarkGone) as caught:
        tree.rewind(old)
    assert caught.value.oldest == str(tree.log.oldest.bookmark)
    tree.truth[Bookmark.parse(caught.value.oldest)] = tree.truth[Bookmark(EPOCH, 3)]
    tree.check(Bookmark.parse(caught.value.oldest))


def test_a_present_that_the_history_does_not_end_in_is_refused(tree: Tree) -> None:
    uid = tree.create()
    start = Bookmark(EPOCH, tree.sequence)
    tree.write(uid, "insert into words values ('a', 1)")
    tree.flush(uid)
    tree.write(uid, "update words set n = 2")
    tree.pending[uid].clear()
    tree.files[uid].checkpoint()  # the history never hears of the second one
    with pytest.raises(HistoryCorrupt, match="does not fit page"):
        dict(tree.rewind(start).databases[uid].pages())


def test_a_missing_change_of_size_is_noticed_before_any_page_is_read(tree: Tree) -> None:
    uid = tree.create()
    start = Bookmark(EPOCH, tree.sequence)
    tree.write(uid, "insert into words values ('b', 1)")
    tree.flush(uid)
    tree.write(uid, "insert into rows(body) values (zeroblob(50000))")
    tree.pending[uid].clear()
    tree.files[uid].checkpoint()
    tree.write(uid, "insert into words values ('a', 1)")
    tree.flush(uid)
    with pytest.raises(HistoryCorrupt, match="had"):
        tree.rewind(start)


def test_the_same_change_recorded_twice_is_noticed(tree: Tree) -> None:
    uid = tree.create()
    start = Bookmark(EPOCH, tree.sequence)
    tree.flush(uid)
    tree.write(uid, "insert into words values ('a', 1)")
    blocks = list(changed(uid, 1, tree.pending[uid], read_pages(tree.files[uid].path)))
    tree.flush(uid)
    tree.log.append(blocks)
    with pytest.raises(HistoryCorrupt, match="does not fit page"):
        dict(tree.rewind(start).databases[uid].pages())


def test_pages_are_restored_a_window_at_a_time(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.history.past.WINDOW", 3)
    rng = random.Random(13)
    uid = tree.create()
    for _ in range(3):
        fill(tree, uid, rng, 3)
        tree.flush(uid)
    tree.vacuum(uid)
    tree.flush(uid)
    tree.check_all()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    seed=st.integers(0, 1 << 20),
    steps=st.lists(
        st.tuples(
            st.sampled_from(
                ["write", "write", "write", "flush", "vacuum", "thin", "create", "delete", "move"]
            ),
            st.integers(0, 3),
        ),
        min_size=5,
        max_size=40,
    ),
)
def test_whatever_happens_to_a_tree_can_be_undone(
    tmp_path_factory: pytest.TempPathFactory, seed: int, steps: list[tuple[str, int]]
) -> None:
    rng = random.Random(seed)
    tree = Tree(tmp_path_factory.mktemp("tree"))
    tree.create()
    for what, which in steps:
        uid = sorted(tree.nodes)[which % len(tree.nodes)] if tree.nodes else None
        if uid is None or what == "create":
            tree.create(uid or 0)
        elif what == "write":
            tree.write(uid, *statements(rng))
        elif what in {"flush", "thin"}:
            tree.flush(uid, 1 if what == "flush" else 3)
        elif what == "vacuum":
            tree.vacuum(uid)
        elif what == "delete":
            tree.delete(uid)
        else:
            tree.rename(uid, f"name {rng.random()}")
    tree.flush_all()
    tree.check_all(tree.reopened())
    tree.close()
