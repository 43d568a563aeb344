"""Bookmarks: their order, and their texts."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import NotABookmark
from storage.history import ORIGIN, Bookmark

bookmarks = st.builds(Bookmark, st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1))


@given(bookmarks)
def test_a_bookmark_is_parsed_from_its_text(bookmark: Bookmark) -> None:
    assert Bookmark.parse(str(bookmark)) == bookmark


@given(bookmarks, bookmarks)
def test_bookmarks_and_their_texts_have_the_same_order(one: Bookmark, other: Bookmark) -> None:
    assert (one < other) == (str(one) < str(other))
    assert one >= ORIGIN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00000001",
        "00000001-0000000000000001 ",
        "00000001-000000000000000G",
        "0000000A-0000000000000001",
        "1-1",
        "00000001_0000000000000001",
        "00000001-0000000000000001\n",
    ],
)
def test_anything_else_is_not_a_bookmark(text: str) -> None:
    with pytest.raises(NotABookmark) as caught:
        Bookmark.parse(text)
    assert isinstance(caught.value, ValueError)
    assert pickle.loads(pickle.dumps(caught.value)).text == text
