"""Encoding: what a history of made-up databases says is what they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.frames import Commit
from storage.history import (
    Block,
    Bookmark,
    Change,
    Image,
    bound,
    changed,
    deleted,
    thin,
)
from storage.history.block import Changed
from storage.history.encode import BLOCK, PART
from storage.pages import MAX_PAGES
from tests.storage.history.model import NODE, Model, mark, page


def unread(number: int) -> bytes:
    raise AssertionError(f"page {number} was asked for")


def entries(blocks: Iterator[Block]) -> list[Changed]:
    return [one for block in blocks for one in block.entries if isinstance(one, Changed)]


sizes = st.integers(0, 7)
written = st.dictionaries(st.integers(1, 7), st.integers(0, 99).map(page), max_size=4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), sizes, written),
        st.tuples(st.just("commit"), sizes, written),
        st.tuples(st.just("flush"), st.integers(1, 4), st.none()),
        st.tuples(st.just("bind"), st.lists(st.integers(0, 99).map(page), max_size=7), st.none()),
    ),
    max_size=14,
)


@settings(max_examples=150, deadline=None)
@given(steps=steps, end=st.booleans())
def test_a_history_says_what_every_page_was(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, object, object]], end: bool
) -> None:
    model = Model(tmp_path_factory.mktemp("model") / "1")
    for what, one, other in steps:
        if what == "commit":
            model.commit(one, other)  # type: ignore[arg-type]
        elif what == "flush":
            model.flush(one)  # type: ignore[arg-type]
        else:
            model.bind(one)  # type: ignore[arg-type]
    model.flush(2)
    if end:
        model.delete()
    model.check()


def test_no_changes_are_no_blocks() -> None:
    assert list(changed(1, 1, [], unread)) == []


def test_pages_that_are_new_are_not_in_the_history() -> None:
    commit = Commit(3, {1: page(1), 2: page(2), 3: page(3)})
    (entry,) = entries(changed(1, 1, [Change(mark(1), 0, commit)], unread))
    assert (entry.before, entry.after, entry.pages) == (0, 3, ())


def test_a_page_written_as_it_was_has_no_delta_but_the_commit_is_a_bookmark() -> None:
    change = Change(mark(1), 1, Commit(1, {1: page(1)}))
    (entry,) = entries(changed(1, 1, [change], lambda _: page(1)))
    assert (entry.mark, entry.pages) == (mark(1), ())


def test_images_are_read_once_and_only_where_the_commits_before_left_none() -> None:
    read: list[int] = []

    def old(number: int) -> bytes:
        read.append(number)
        return page(number)

    changes = [Change(mark(n), 4, Commit(4, {2: page(n), 4: page(n * 7)})) for n in range(10, 15)]
    assert len(entries(changed(1, 1, changes, old))) == 5
    assert sorted(read) == [2, 4]


def test_thinning_leaves_one_delta_for_a_page_however_often_it_was_written() -> None:
    changes = [Change(mark(n), 2, Commit(2, {2: page(n)})) for n in range(1, 30)]
    joined = thin(changes)
    (entry,) = entries(changed(1, 1, [joined], lambda _: page(0)))
    assert [one.number for one in entry.pages] == [2]
    assert (entry.since, entry.mark) == (Bookmark(1, 1), mark(29))


def test_joining_what_was_joined_spans_both() -> None:
    changes = [Change(mark(n), n, Commit(n + 1, {n: page(n)})) for n in range(1, 5)]
    assert thin([thin(changes[:2]), thin(changes[2:])]) == thin(changes)


def test_thinning_forgets_a_page_that_was_cut_off_on_the_way() -> None:
    sizes = [2, 1, 2]
    changes = [
        Change(mark(n), before, Commit(size, {2: page(n)} if n == 1 else {}))
        for n, (before, size) in enumerate(zip([2, *sizes], sizes, strict=False), 1)
    ]
    assert thin(changes).commit == Commit(2, {})
    (entry,) = entries(changed(1, 1, [thin(changes)], page))
    assert (entry.floor, [one.number for one in entry.pages]) == (1, [2])


def test_a_large_change_is_cut_into_parts_and_blocks() -> None:
    size = 2 * BLOCK + 10
    blocks = list(deleted(1, 1, mark(1), NODE, Image(size, lambda n: page(n % 50))))
    assert len(blocks) == 4
    parts = entries(iter(blocks))
    assert all(len(part.pages) <= PART for part in parts)
    assert [one.number for part in parts for one in part.pages] == list(range(1, size + 1))
    assert {(part.before, part.after, part.floor) for part in parts} == {(size, 0, 0)}


def test_a_change_that_fills_its_last_part_has_no_empty_one() -> None:
    parts = entries(deleted(1, 1, mark(1), NODE, Image(2 * PART, page)))
    assert [len(part.pages) for part in parts] == [PART, PART]


def test_a_change_in_several_parts_is_undone_as_one(tmp_path: Path) -> None:
    model = Model(tmp_path / "1")
    size = BLOCK + PART + 3
    model.commit(size, {n: page(n) for n in range(1, size + 1)})
    model.commit(size + 5, {n: page(n + 1) for n in range(1, size + 6)})
    model.commit(2, {})
    model.delete()
    model.check()


def test_changes_that_do_not_continue_each_other_are_refused() -> None:
    changes = [Change(mark(1), 2, Commit(3, {3: page(1)})), Change(mark(2), 2, Commit(2, {}))]
    with pytest.raises(ValueError, match="begins at 2 pages, the last ended at 3"):
        list(changed(1, 1, changes, unread))


def test_a_database_too_large_for_trimmed_pages_has_no_history() -> None:
    with pytest.raises(ValueError, match="no history"):
        list(changed(1, 1, [Change(mark(1), 1, Commit(MAX_PAGES, {}))], unread))
    with pytest.raises(ValueError, match="no history"):
        list(bound(1, 1, mark(1), Image(1, unread), Image(MAX_PAGES, unread)))
