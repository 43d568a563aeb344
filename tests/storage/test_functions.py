"""The functions of SQL that are ours: SQLite's answers, in time that the lengths bound."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.functions import define

texts = st.text("ab\u00e9\U0001f600 ", max_size=6)
values = st.one_of(
    texts, texts.map(str.encode), st.none(), st.integers(-99, 2**40),
    st.sampled_from([0.5, 1.0, 1e20, 1e-7, -2.25, 100000.0]),
)  # fmt: skip
QUERIES = ("trim(?1, ?2)", "ltrim(?1, ?2)", "rtrim(?1, ?2)", "instr(?1, ?2)", "replace(?1, ?2, ?3)")


@pytest.fixture(scope="module")
def plain() -> apsw.Connection:
    return apsw.Connection(":memory:")


@pytest.fixture(scope="module")
def ours() -> apsw.Connection:
    db = apsw.Connection(":memory:")
    define(db)
    return db


@settings(max_examples=300, deadline=None)
@given(values, values, values)
def test_the_answers_are_those_of_sqlite(
    plain: apsw.Connection, ours: apsw.Connection, a: object, b: object, c: object
) -> None:
    for query in QUERIES:
        given = (a, b, c)[: 3 if "?3" in query else 2]
        expected, found = (db.execute(f"select {query}", given).get for db in (plain, ours))
        assert (type(found), found) == (type(expected), expected), query


@pytest.mark.parametrize("query", QUERIES)
def test_long_texts_take_no_quadratic_time(ours: apsw.Connection, query: str) -> None:
    # SQLite's own trim takes six minutes for this, and more than the timeout of a test.
    half = 1 << 19
    given = ("a" * (2 * half), "b" * (half - 1) + "a" if "trim" in query else "a" * half + "b")

    found = ours.execute(f"select {query}", (*given, "")[: 3 if "?3" in query else 2]).get

    assert found == {"t": "", "l": "", "r": "", "i": 0}[query[0]] or query.startswith("replace")


def test_what_grows_over_the_limit_is_refused(ours: apsw.Connection) -> None:
    ours.limit(apsw.SQLITE_LIMIT_LENGTH, 1 << 20)
    with pytest.raises(apsw.TooBigError):
        ours.execute("select replace(?, 'a', ?)", ("a" * 100_000, "b" * 100_000))
