"""Records: bytes that are all there or not there."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import StateFormat
from storage.frames import Commit
from storage.limits import PAGE_SIZE
from storage.record import (
    BIND,
    CREATE,
    DELETE,
    HEADER,
    PAGES,
    SECTOR,
    Chain,
    Entry,
    decode,
    decode_body,
    encode,
)
from storage.template import template

CHAIN = Chain(epoch=7, nonce=12345, previous=99)


def pack(*entries: Entry, chain: Chain = CHAIN, sequence: int = 5) -> bytes:
    body = b"".join(entry.encode() for entry in entries)
    return encode(chain, sequence, 3, body, len(entries), 1_000, 6)[0]


def leaf(cells: int, content: int) -> bytes:
    """A leaf page whose cells begin at `content`; the rest is filled, to see what is lost."""
    head = bytes([13, 0, 0]) + cells.to_bytes(2, "big") + content.to_bytes(2, "big") + b"\0"
    pointers = os.urandom(2 * cells)
    end = os.urandom(PAGE_SIZE - content)
    return (head + pointers).ljust(content, b"\0") + end


pages = st.dictionaries(
    st.integers(1, 2**32 - 1),
    st.one_of(
        st.just(template()[:PAGE_SIZE]),
        st.just(bytes(PAGE_SIZE)),
        st.binary(min_size=16, max_size=16).map(lambda b: (b"\0" + b).ljust(PAGE_SIZE, b"\1")),
        st.tuples(st.integers(0, 50), st.integers(200, PAGE_SIZE)).map(lambda t: leaf(*t)),
    ),
    max_size=5,
).map(lambda found: {n: page for n, page in found.items() if n != 1 or page[:3] != b"\r\0\0"})
uids = st.integers(0, 2**64 - 1)
generations = st.integers(1, 2**32 - 1)
entries = st.lists(
    st.one_of(
        st.builds(Entry, st.sampled_from([CREATE, DELETE, BIND]), uids, generations),
        st.builds(
            Entry,
            st.just(PAGES),
            uids,
            generations,
            st.builds(Commit, st.integers(1, 2**32 - 1), pages),
        ),
    ),
    max_size=5,
)


@given(entries)
def test_what_was_encoded_comes_back(entries: list[Entry]) -> None:
    data = pack(*entries)

    found = decode(data, 0, CHAIN.epoch, CHAIN.nonce)

    assert found is not None
    record, previous = found
    assert list(record.entries()) == entries
    assert (record.sequence, record.durable_upto, record.time, record.made) == (5, 3, 1_000, 6)
    assert previous == CHAIN.previous
    assert record.end == len(data)


@given(entries)
def test_a_record_never_shares_a_sector_with_the_next(entries: list[Entry]) -> None:
    assert len(pack(*entries)) % SECTOR == 0


def test_the_gap_of_a_page_is_left_out_and_comes_back_as_zeros() -> None:
    page = leaf(cells=3, content=4000)
    filled = page[:14] + b"x" * (4000 - 14) + page[4000:]

    data = pack(Entry(PAGES, 1, 1, Commit(2, {2: filled})))
    record = decode(data, 0, CHAIN.epoch, CHAIN.nonce)

    assert len(data) < 1024
    assert record is not None
    (entry,) = record[0].entries()
    assert entry.commit is not None
    assert entry.commit.pages[2] == page


SAMPLE = pack(Entry(CREATE, 1), Entry(PAGES, 1, 1, Commit(1, {1: template()[:PAGE_SIZE]})))
LENGTH = HEADER + len(Entry(CREATE, 1).encode())
LENGTH += len(Entry(PAGES, 1, 1, Commit(1, {1: template()[:PAGE_SIZE]})).encode())
MEANT = [at for at in range(LENGTH) if at not in range(60, 64)]
"""Bytes that mean something: four of the header are spare."""


@given(st.sampled_from(MEANT), st.integers(1, 255))
def test_a_record_with_any_byte_changed_is_not_intact(at: int, change: int) -> None:
    data = bytearray(SAMPLE)
    data[at] ^= change

    assert decode(bytes(data), 0, CHAIN.epoch, CHAIN.nonce) is None


@given(st.integers(0, LENGTH - 1))
def test_a_record_cut_anywhere_is_not_intact(length: int) -> None:
    assert decode(SAMPLE[:length], 0, CHAIN.epoch, CHAIN.nonce) is None


@pytest.mark.parametrize("length", range(HEADER + 1))
def test_a_header_cut_anywhere_is_not_intact(length: int) -> None:
    assert decode(SAMPLE[:length], 0, CHAIN.epoch, CHAIN.nonce) is None
    assert decode(bytes(512) + SAMPLE[:length], 512, CHAIN.epoch, CHAIN.nonce) is None


def test_a_record_of_another_life_of_the_segment_is_not_intact() -> None:
    assert decode(SAMPLE, 0, CHAIN.epoch, CHAIN.nonce + 1) is None
    assert decode(SAMPLE, 0, CHAIN.epoch + 1, CHAIN.nonce) is None


def test_an_unknown_kind_of_entry_is_refused() -> None:
    with pytest.raises(StateFormat, match="kind 9"):
        list(decode_body(Entry(9, 1).encode(), 1))
