"""The format: what is written is read back, and nothing else is taken for a block."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.history.block import (
    HEADER,
    Block,
    Changed,
    Event,
    Happened,
    Node,
    PageDelta,
    decode_body,
    decode_header,
    encode,
    seed,
)
from storage.history.bookmark import Bookmark, Mark
from tests.storage.history.test_bookmark import bookmarks

small = st.integers(0, (1 << 32) - 1)
large = st.integers(0, (1 << 64) - 1)
marks = st.builds(Mark, bookmarks, large)
deltas = st.builds(PageDelta, small, small, st.binary(max_size=40))
nodes = st.builds(Node, large, st.text(max_size=8), st.text(max_size=20))


@st.composite
def changes(draw: st.DrawFn) -> Changed:
    mark = draw(marks)
    since = draw(st.one_of(st.just(mark.bookmark), bookmarks))
    pages = tuple(draw(st.lists(deltas, max_size=4)))
    return Changed(mark, since, draw(small), draw(small), draw(small), pages)


events = st.builds(Event, st.sampled_from(Happened), marks, nodes)
blocks = st.builds(
    Block,
    large,
    small,
    st.lists(st.one_of(changes(), events), min_size=1, max_size=5).map(tuple),
)


def plain(entry: Any) -> Any:
    """Equal to its twin from a file, whose deltas are views."""
    if isinstance(entry, Event):
        return entry
    pages = [(page.number, page.crc, bytes(page.data)) for page in entry.pages]
    return entry.mark, entry.since, entry.before, entry.after, entry.floor, pages


@given(blocks, bookmarks, small, st.booleans(), small)
def test_a_block_is_read_back_as_it_was(
    block: Block, before: Bookmark, group: int, more: bool, place: int
) -> None:
    data = encode(block, before, group, more, place)
    header = decode_header(data, place)
    assert header is not None
    assert header.length == len(data) - HEADER
    assert (header.uid, header.generation) == (block.uid, block.generation)
    assert (header.before, header.group, header.more) == (before, group, more)
    assert (header.oldest, header.newest) == (block.oldest, block.newest)
    entries = list(decode_body(data[HEADER:]))
    assert [plain(entry) for entry in entries] == [plain(entry) for entry in block.entries]


BLOCK = Block(7, 1, (Event(Happened.CREATED, Mark(Bookmark(1, 2), 3), Node(0, "Lead", "alice")),))


@pytest.mark.parametrize("byte", range(HEADER))
def test_a_header_with_any_bit_turned_is_not_a_header(byte: int) -> None:
    data = bytearray(encode(BLOCK, Bookmark(1, 1), 1, False, 5))
    assert decode_header(bytes(data), 5) is not None
    data[byte] ^= 1 << (byte % 8)
    assert decode_header(bytes(data), 5) is None


def test_a_block_counts_only_in_its_own_place() -> None:
    data = encode(BLOCK, Bookmark(1, 1), 1, False, seed(99, 4096))
    assert decode_header(data, seed(99, 4096)) is not None
    assert decode_header(data, seed(99, 4097)) is None
    assert decode_header(data, seed(98, 4096)) is None


def test_a_block_spans_its_entries_and_the_commits_joined_in_them() -> None:
    entries = (
        Changed(Mark(Bookmark(1, 9), 50), Bookmark(1, 4), 1, 1, 1, ()),
        Changed(Mark(Bookmark(1, 12), 40), Bookmark(1, 12), 1, 1, 1, ()),
    )
    block = Block(1, 1, entries)
    assert block.oldest == Mark(Bookmark(1, 4), 40)
    assert block.newest == Mark(Bookmark(1, 12), 50)
