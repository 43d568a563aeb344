"""`Rows` and `Row`: a complete result, found by position and by name."""

from __future__ import annotations

import copy
import gc
import pickle
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import Row, Rows
from storage.errors import NoRow, TooManyRows
from storage.rows import row_type


@pytest.fixture
def rows() -> Rows:
    return Rows(("n", "word"), [(1, "one"), (2, "two"), (3, "three")], 3)


def test_rows_are_a_sequence_of_tuples(rows: Rows) -> None:
    assert len(rows) == 3
    assert list(rows) == rows.all() == [(1, "one"), (2, "two"), (3, "three")]
    assert rows[0] == (1, "one")
    assert rows[-1] == (3, "three")
    assert rows[1:] == [(2, "two"), (3, "three")]
    assert (2, "two") in rows
    assert next(reversed(rows)) == (3, "three")
    with pytest.raises(IndexError):
        rows[3]


def test_rows_can_be_gone_through_again_and_again(rows: Rows) -> None:
    assert [row.n for row in rows] == [row.n for row in rows] == [1, 2, 3]


def test_a_row_is_found_by_position_and_by_name(rows: Rows) -> None:
    row = rows[1]
    assert isinstance(row, Row)
    assert (row[0], row[-1], row.n, row["word"]) == (2, "two", 2, "two")
    n, word = row
    assert (n, word) == (2, "two")
    assert row[:1] == (2,)


def test_a_row_as_a_dict(rows: Rows) -> None:
    assert rows[0].asdict() == {"n": 1, "word": "one"}


def test_an_unknown_column_names_those_there_are(rows: Rows) -> None:
    with pytest.raises(KeyError, match="no column 'm'; there are n, word"):
        rows[0]["m"]
    with pytest.raises(AttributeError):
        _ = rows[0].m


def test_rows_cannot_be_changed(rows: Rows) -> None:
    with pytest.raises(AttributeError):
        rows[0].n = 5
    with pytest.raises(TypeError):
        rows[0][0] = 5  # type: ignore[index]
    with pytest.raises(TypeError):
        rows[0] = (1, "")  # type: ignore[index]


def test_a_column_wins_over_a_method_of_tuples() -> None:
    row = Rows(("count", "index"), [(7, 8)]).one()
    assert (row.count, row.index) == (7, 8)


def test_of_two_columns_with_one_name_the_first_is_found() -> None:
    row = Rows(("x", "x", "y"), [(1, 2, 3)]).one()
    assert (row.x, row["x"], row.asdict(), row[1]) == (1, 1, {"x": 1, "y": 3}, 2)


def test_columns_that_are_no_identifiers_are_found_by_key() -> None:
    row = Rows(("count(*)", "_columns", "__class__", "class", ""), [(1, 2, 3, 4, 5)]).one()
    assert (row["count(*)"], row["_columns"], row["__class__"], row["class"]) == (1, 2, 3, 4)
    assert row[""] == 5
    assert list(row.asdict().values()) == [1, 2, 3, 4, 5]


def test_one_is_the_only_row() -> None:
    assert Rows(("n",), [(1,)]).one() == (1,)
    with pytest.raises(NoRow):
        Rows(("n",), []).one()
    with pytest.raises(TooManyRows):
        Rows(("n",), [(1,), (2,)]).one()


def test_first_is_the_first_row_or_none(rows: Rows) -> None:
    assert rows.first() == (1, "one")
    assert Rows(("n",), []).first() is None


def test_value_is_the_first_column_of_the_first_row(rows: Rows) -> None:
    assert rows.value() == 1
    assert Rows(("n",), []).value(default=9) == 9
    assert Rows(("n",), []).value(default=None) is None
    assert Rows(("n",), [(None,)]).value(default=9) is None
    with pytest.raises(NoRow) as caught:
        Rows(("n",), []).value()
    assert isinstance(caught.value, LookupError)


def test_rows_are_equal_when_columns_and_values_are(rows: Rows) -> None:
    assert rows == Rows(("n", "word"), [(1, "one"), (2, "two"), (3, "three")], 0)
    assert rows != Rows(("m", "word"), [(1, "one"), (2, "two"), (3, "three")], 0)
    assert rows != [(1, "one"), (2, "two"), (3, "three")]
    with pytest.raises(TypeError):
        hash(rows)


def test_rows_without_columns_are_false_and_empty() -> None:
    assert not Rows((), [], 5)
    assert Rows((), [], 5).all() == []


def test_reprs_say_what_is_inside(rows: Rows) -> None:
    assert repr(rows) == "<Rows 3 x (n, word), 3 changes>"
    assert repr(rows[0]) == "Row(n=1, word='one')"


names = st.lists(st.text(max_size=6), min_size=1, max_size=5).map(tuple)


@given(names, st.integers(0, 3))
def test_rows_and_row_survive_pickling_and_copying(columns: tuple[str, ...], n: int) -> None:
    rows = Rows(columns, [tuple(range(len(columns)))] * n, 2)
    for again in (pickle.loads(pickle.dumps(rows)), copy.copy(rows), copy.deepcopy(rows)):
        assert again == rows
        assert again.changes == 2
    for row in rows:
        again = pickle.loads(pickle.dumps(row))
        assert again == row
        assert again.asdict() == row.asdict()
        assert type(again) is type(row)


def test_the_class_of_a_row_is_made_once_for_the_same_columns() -> None:
    assert row_type(("a", "b")) is row_type(("a", "b"))


def test_long_column_names_are_not_kept() -> None:
    """A column without a name is named by its whole text; 512 of 1 MB would be kept for ever."""
    name = "x" * 1_000_000
    before = sys.getrefcount(name)
    rows = Rows((name,), [(1,)])
    assert rows.one()[name] == 1
    del rows
    gc.collect()
    assert sys.getrefcount(name) == before
