"""What stands in the gap of a page means nothing to SQLite, and only gaps are cut."""

from __future__ import annotations

import random
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.limits import PAGE_SIZE
from storage.pages import MAX_PAGES, NO_GAP, ZERO, fill_gap, gap, normalise, trim_gap

NUMBERS = "with recursive n(i) as (select 1 union all select i + 1 from n where i < {}) "
SHAPES = {
    "empty": [],
    "one row": ["create table t(a)", "insert into t values (1)"],
    "long schema": [f"create table t{i}(a, b, c, d text default 'some text')" for i in range(100)],
    "table and indexes": [
        "create table t(a integer primary key, b, c unique)",
        "create index ib on t(b, c)",
        NUMBERS.format(3000) + "insert into t select i, hex(randomblob(20)), i * 7 from n",
    ],
    "overflow": [
        "create table t(a, b)",
        "create index ia on t(a)",
        NUMBERS.format(60)
        + "insert into t select hex(randomblob(i * 99)), randomblob(i * 999) from n",
    ],
    "without rowid": [
        "create table t(a text primary key, b) without rowid",
        NUMBERS.format(2000) + "insert into t select hex(randomblob(9)), randomblob(i % 90) from n",
    ],
    "deletes": [
        "create table t(a integer primary key, b)",
        "create index ib on t(b)",
        NUMBERS.format(4000) + "insert into t select i, randomblob(i % 200) from n",
        "delete from t where a % 3 = 0",
        "update t set b = randomblob(300) where a % 5 = 0",
        "delete from t where a between 500 and 2500",
    ],
    "free list": [
        "create table t(a integer primary key, b)",
        NUMBERS.format(4000) + "insert into t select i, randomblob(500) from n",
        "delete from t",
        "insert into t values (1, zeroblob(20000))",
    ],
    "full text": [
        "create virtual table t using fts5(a)",
        NUMBERS.format(500) + "insert into t select 'word' || i || ' other' || (i % 7) from n",
    ],
}


def build(path: Path, before: str, statements: list[str]) -> None:
    db = apsw.Connection(str(path))
    setup = f"pragma page_size={PAGE_SIZE}; {before}; pragma journal_mode=wal; pragma cache_size=10"
    for sql in [setup, *statements]:
        for _ in db.execute(sql):
            pass
    db.close()


def content(path: Path) -> list[object]:
    db = apsw.Connection(str(path))
    try:
        assert list(db.execute("pragma integrity_check")) == [("ok",)]
        schema = list(db.execute("select name, sql from sqlite_schema order by name"))
        tables = [row[0] for row in db.execute("select name from sqlite_schema where type='table'")]
        return [schema, *(list(db.execute(f"select * from '{name}'")) for name in tables)]
    finally:
        db.close()


def pages_of(path: Path) -> list[bytes]:
    data = path.read_bytes()
    return [data[at : at + PAGE_SIZE] for at in range(0, len(data), PAGE_SIZE)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "before", ["", "pragma auto_vacuum=full", "pragma auto_vacuum=incremental"]
)
def test_a_database_with_other_bytes_in_its_gaps_is_the_same_database(
    tmp_path: Path, shape: str, before: str
) -> None:
    path, copy = tmp_path / "a.db", tmp_path / "b.db"
    build(path, before, SHAPES[shape])
    pages = pages_of(path)
    zeroed = [normalise(page, number) for number, page in enumerate(pages, 1)]
    noise = []
    for number, page in enumerate(pages, 1):
        start, length = gap(page, number)
        noise.append(page[:start] + random.randbytes(length) + page[start + length :])
    assert noise != zeroed
    for changed in (zeroed, noise):
        copy.write_bytes(b"".join(changed))
        assert content(copy) == content(path)


def test_a_database_goes_on_working_after_its_gaps_were_cut(tmp_path: Path) -> None:
    path, copy = tmp_path / "a.db", tmp_path / "b.db"
    build(path, "", SHAPES["deletes"])
    copy.write_bytes(b"".join(normalise(page, n) for n, page in enumerate(pages_of(path), 1)))
    more = [
        "update t set b = zeroblob(150) where a % 2 = 0",
        NUMBERS.format(2000) + "insert into t select i + 9000, zeroblob(i % 150) from n",
        "vacuum",
    ]
    for one in (path, copy):
        build(one, "", more)
    assert content(copy) == content(path)


def test_gaps_are_most_of_a_young_database(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    build(path, "", SHAPES["one row"])
    kept = sum(len(trim_gap(page, n, 2)[1]) for n, page in enumerate(pages_of(path), 1))
    assert kept < 300


@pytest.mark.parametrize("kind", [2, 5])
def test_a_page_that_could_be_a_pointer_map_is_left_alone(kind: int) -> None:
    page = bytearray(random.Random(1).randbytes(PAGE_SIZE))
    page[:8] = bytes([kind, 0, 0, 0, 2, 8, 0, 0])
    assert gap(bytes(page), 2) == NO_GAP
    page[0] = 13
    assert gap(bytes(page), 2) == (12, 2048 - 12)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (slice(1, 3), b"\x00\x64"),  # a free block inside the gap
        (slice(3, 5), b"\x7f\xff"),  # more cells than there is room for
        (slice(5, 7), b"\x10\x01"),  # content behind the page
        (slice(5, 7), b"\x00\x00"),
        (slice(7, 8), b"\x3d"),  # more fragments than SQLite leaves
    ],
)
def test_a_header_that_makes_no_sense_means_no_gap(field: slice, value: bytes) -> None:
    page = bytearray(PAGE_SIZE)
    page[:8] = bytes([13, 0, 0, 0, 2, 8, 0, 0])
    assert gap(bytes(page), 7) != NO_GAP
    page[field] = value
    assert gap(bytes(page), 7) == NO_GAP


def test_the_first_page_has_the_file_header_in_front(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    build(path, "", SHAPES["long schema"])
    page = pages_of(path)[0]
    normal = normalise(page, 1)
    assert normal[:100] == page[:100]
    assert gap(page, 2) == NO_GAP


def test_nothing_is_cut_where_an_overflow_page_could_look_like_a_leaf() -> None:
    page = bytes([13, 0, 0, 0, 2, 8, 0, 0]) + bytes(PAGE_SIZE - 8)
    assert trim_gap(page, 7, MAX_PAGES) == (0, page)
    assert len(trim_gap(page, 7, MAX_PAGES - 1)[1]) < PAGE_SIZE


def test_an_empty_page_has_no_gap() -> None:
    assert gap(ZERO, 2) == NO_GAP
    assert normalise(ZERO, 2) is ZERO


@given(
    start=st.binary(min_size=8, max_size=120),
    kind=st.sampled_from([0, 2, 5, 10, 13]),
    number=st.integers(1, 3),
)
def test_cutting_and_filling_gives_the_normal_form_of_any_bytes(
    start: bytes, kind: int, number: int
) -> None:
    page = bytearray(random.Random(2).randbytes(PAGE_SIZE))
    at = 100 if number == 1 else 0
    page[at : at + len(start)] = start
    page[at] = kind
    image = bytes(page)
    again = fill_gap(*trim_gap(image, number, 10))
    assert again == normalise(image, number)
    assert normalise(again, number) == again
    assert len(again) == PAGE_SIZE
    begin, length = gap(image, number)
    assert again[:begin] == image[:begin]
    assert again[begin + length :] == image[begin + length :]
