"""Limits: on by default, each with its own error, and none takes more than it says."""

from __future__ import annotations

import pickle
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import facets
from storage import Database, StorageLimits, Store, errors
from storage.errors import (
    OutOfMemory,
    ResultTooLarge,
    SqlError,
    StatementTimeout,
    StatementTooComplex,
    StatementTooLong,
    StorageError,
    StorageFull,
    TooManyRows,
    ValueTooLarge,
)

NUMBERS = "with recursive n(i) as (select 1 union all select i + 1 from n) "
Limited = Callable[..., Database]


@pytest.fixture
def limited(memory: Path) -> Iterator[Limited]:
    """A database under these limits, with a table and one row of an open step."""
    stores: list[Store] = []

    def make(**limits: Any) -> Database:
        store = Store.open(memory / f"{len(stores)}", limits=StorageLimits(**limits))
        stores.append(store)
        database = store.root("Kind", "name")
        database.sql("create table t(x)")
        database.sql("insert into t values ('kept')")
        database.commit()
        database.sql("insert into t values ('open')")
        return database

    yield make
    for store in stores:
        store.close()


def xs(database: Database) -> list[object]:
    return [row.x for row in database.sql("select x from t order by rowid")]


def stays(database: Database) -> None:
    """The statement was refused; the step goes on."""
    assert database.in_step
    assert xs(database) == ["kept", "open"]


def went(database: Database, error: StorageError) -> None:
    """The step went with the statement, and the error says so; the next step works."""
    assert "the whole step was rolled back" in error.__notes__
    assert pickle.loads(pickle.dumps(error)).__notes__ == error.__notes__
    assert not database.in_step
    assert xs(database) == ["kept"]
    database.sql("insert into t values ('next')")
    database.commit()
    assert xs(database) == ["kept", "next"]


# -- text and structure ---------------------------------------------------------------------


def test_the_text_of_a_statement_is_limited(limited: Limited) -> None:
    database = limited(statement=1_000)
    text = "select 1 -- "
    assert database.sql.unsafe(text.ljust(1_000)).value() == 1
    with pytest.raises(StatementTooLong) as caught:
        database.sql.unsafe(text.ljust(1_001, "ä"))
    assert caught.value.limit == 1_000
    assert isinstance(caught.value, ValueError)
    stays(database)


def test_the_parameters_of_a_statement_are_limited(limited: Limited) -> None:
    database = limited(parameters=10)
    assert len(database.sql.unsafe("select " + ", ".join("?" * 10), *range(10)).one()) == 10
    for text in ("select " + ", ".join("?" * 11), "select ?11", "select ?999999999999"):
        with pytest.raises(StatementTooComplex) as caught:
            database.sql.unsafe(text, *range(11))
        assert "sql.many" in caught.value.hint
    stays(database)


@pytest.mark.parametrize(
    "text",
    [
        "select " + ", ".join("?" * 32_767),
        "select " + "1 + " * 1_000 + "1",
        "select " + "not " * 5_000 + "1",
        "select " + "(" * 5_000 + "1" + ")" * 5_000,
        "select 1" + " union select 1" * 500,
        "select 1 from " + ", ".join(f"t t{i}" for i in range(65)),
        "create table q(" + ", ".join(f"c{i}" for i in range(2_001)) + ")",
        "select " + ", ".join("1" * 2_001),
        "select max(" + ", ".join("1" * 2_000) + ")",
        "select 'a' like '" + "%a" * 501 + "'",
        "select 'a' glob '" + "*a" * 501 + "'",
    ],
    ids=lambda text: text[:24],
)
def test_a_statement_may_not_be_more_complex_than_sqlite_can_bear(
    limited: Limited, text: str
) -> None:
    database = limited()
    with pytest.raises(StatementTooComplex) as caught:
        database.sql.unsafe(text, *[1] * text.count("?"))
    assert isinstance(caught.value, ValueError)
    stays(database)


def test_a_pattern_is_limited_however_it_is_made(limited: Limited) -> None:
    """Matching takes the product of both lengths, and no time limit can interrupt it."""
    database = limited(pattern=20)
    assert database.sql("select 'abc' like ?", "%" * 20).value() == 1
    for text in ("x like ?", "x glob ?", "like(?, x)", "x like '%' || ? || '%'"):
        with pytest.raises(StatementTooComplex):
            database.sql.unsafe(f"select * from t where {text}", "%" * 21)
    stays(database)


@pytest.mark.parametrize(
    "view", ["select a.x from v{0} a, v{0} b", "select x from v{0} union all select x from v{0}"]
)
def test_views_of_views_do_not_multiply_without_end(limited: Limited, view: str) -> None:
    database = limited()
    database.sql("create view v0 as select x from t")
    for i in range(20):
        database.sql.unsafe(f"create view v{i + 1} as " + view.format(i))
    with pytest.raises(StatementTooComplex):
        database.sql("select count(*) from v20")
    stays(database)


def test_expressions_of_views_do_not_multiply_without_end(limited: Limited) -> None:
    database = limited(heap=64 << 20)
    database.sql("create view v0 as select 1 as x")
    for i in range(20):
        database.sql.unsafe(f"create view v{i + 1} as select x+x+x+x as x from v{i}")
    database.commit()
    with pytest.raises((OutOfMemory, StatementTooComplex)):
        database.sql("select x from v20")
    assert xs(database) == ["kept", "open"]


def test_triggers_do_not_run_each_other_without_end(limited: Limited) -> None:
    database = limited()
    names = range(1_100)
    for i in names:
        database.sql.unsafe(f"create table c{i}(x)")
    for i in names[:-1]:
        database.sql.unsafe(
            f"create trigger tr{i} after insert on c{i} begin insert into c{i + 1} values (1); end"
        )
    with pytest.raises(SqlError):
        database.sql("insert into c0 values (1)")
    assert database.sql("select count(*) from c0").value() == 0
    stays(database)


# -- values ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [b"x" * 10_001, "x" * 10_001, "ä" * 5_001])
def test_a_value_is_limited_when_it_is_given(limited: Limited, value: object) -> None:
    database = limited(value=10_000)
    with pytest.raises(ValueTooLarge) as caught:
        database.sql("insert into t values (?)", value)
    assert caught.value.limit == 10_000
    assert isinstance(caught.value, ValueError)
    with pytest.raises(ValueTooLarge):
        database.sql.many("insert into t values (?)", [(1,), (value,)])
    stays(database)


@pytest.mark.parametrize(
    "made",
    [
        "zeroblob(10001)", "randomblob(10001)", "hex(zeroblob(6000))", "printf('%10001d', 1)",
        "group_concat(hex(zeroblob(3000)) || t.rowid, ',')",
        "replace(hex(zeroblob(2000)), '0', 'aaa')",
        "json_group_array(hex(zeroblob(3000)))", "quote(zeroblob(6000))",
        "char(65) || zeroblob(10001)",
        "cast(zeroblob(10001) as text)", "string_agg(hex(zeroblob(3000)), ',')",
    ],
)  # fmt: skip
def test_a_value_is_limited_when_it_is_made(limited: Limited, made: str) -> None:
    database = limited(value=10_000)
    with pytest.raises(ValueTooLarge):
        database.sql.unsafe(f"select {made} from t")
    stays(database)


def test_a_stored_row_is_limited_as_a_whole(limited: Limited) -> None:
    database = limited(value=10_000)
    database.sql("create table wide(a, b)")
    with pytest.raises(ValueTooLarge):
        database.sql("insert into wide values (zeroblob(6000), zeroblob(6000))")
    database.sql("insert into wide values (zeroblob(4000), zeroblob(4000))")
    stays(database)


@pytest.mark.parametrize(
    "text",
    [
        "select {}",
        "with c as materialized (select ?1 as x) select {} from c",
        "with c as materialized (select zeroblob(1000000) as x) select {} from c",
        "insert into t values (1) returning {}",
    ],
)
def test_one_row_cannot_be_larger_than_the_memory_of_sqlite(limited: Limited, text: str) -> None:
    """SQLite hands one value out in every column for nothing; to Python each is a copy."""
    database = limited(heap=100 << 20)
    columns = ", ".join(["x" if " c " in text else "?1"] * 1_000)
    with pytest.raises(ValueTooLarge) as caught:
        database.sql.unsafe(text.format(columns), *[b"x" * 1_000_000] * ("?1" in text + columns))
    assert caught.value.limit == (100 << 20) // 1_000
    stays(database)


def test_after_a_wide_row_values_may_be_as_large_as_before(limited: Limited) -> None:
    database = limited(heap=100 << 20, value=10 << 20)
    many = ", ".join(["?1"] * 1_000)
    for value in (b"x" * 1_000, b"x" * 1_000_000):
        try:
            assert len(database.sql.unsafe(f"select {many}", value).one()) == 1_000
        except ValueTooLarge:
            assert len(value) > 1_000
        assert len(database.sql("select zeroblob(?)", 10 << 20).value()) == 10 << 20
    with pytest.raises(ValueTooLarge):
        database.sql.many(f"insert into t values (?1) returning {many}", [(b"x" * 1_000_000,)])
    assert len(database.sql("select zeroblob(?)", 10 << 20).value()) == 10 << 20


# -- results --------------------------------------------------------------------------------


def test_the_rows_of_a_result_are_limited(limited: Limited) -> None:
    database = limited(rows=100)
    assert len(database.sql.unsafe(f"{NUMBERS} select i from n limit 100")) == 100
    with pytest.raises(TooManyRows) as caught:
        database.sql.unsafe(f"{NUMBERS} select i from n")
    assert caught.value.limit == 100
    stays(database)


def test_the_bytes_of_a_result_are_limited(limited: Limited) -> None:
    database = limited(result=100_000)
    for made in ("zeroblob(1000)", "hex(zeroblob(500))", "i", "null", "i, i, i, i", "''"):
        with pytest.raises(ResultTooLarge) as caught:
            database.sql.unsafe(f"{NUMBERS} select {made} from n")
        assert caught.value.limit == 100_000
    assert len(database.sql.unsafe(f"{NUMBERS} select zeroblob(1000) from n limit 80")) == 80
    stays(database)


def test_each_result_of_a_text_is_measured_alone(limited: Limited) -> None:
    database = limited(result=100_000, rows=100)
    part = f"{NUMBERS} select zeroblob(1000) from n limit 60;"
    assert len(database.sql.unsafe(part * 3)) == 60


@pytest.mark.parametrize("limits", [{"rows": 100}, {"result": 10_000}])
def test_a_write_whose_rows_are_too_many_undoes_its_step(
    limited: Limited, limits: dict[str, int]
) -> None:
    """Its rows were written before the first was returned: the statement alone cannot go."""
    database = limited(**limits)
    with pytest.raises((TooManyRows, ResultTooLarge)) as caught:
        database.sql.unsafe(f"insert into t {NUMBERS} select hex(i) from n limit 1000 returning x")
    went(database, caught.value)


def test_a_read_behind_a_write_in_one_text_leaves_the_step(limited: Limited) -> None:
    database = limited(rows=100)
    with pytest.raises(TooManyRows):
        database.sql.unsafe(f"insert into t values (1); {NUMBERS} select i from n")
    assert xs(database) == ["kept", "open", 1]


# -- time -----------------------------------------------------------------------------------

ENDLESS = [
    f"{NUMBERS} select count(*) from n",
    f"{NUMBERS} select i from n where i < 0",
    f"{NUMBERS} select max(a.i) from n a, n b",
    "select sum(a.value * b.value * c.value) from big a, big b, big c",
    f"{NUMBERS} select group_concat(i % 2) from n where i % 1000 = 0 and i < 0",
]


@pytest.mark.parametrize("text", ENDLESS)
def test_a_read_that_takes_too_long_is_interrupted_and_leaves_the_step(
    limited: Limited, text: str
) -> None:
    database = limited(seconds=0.0)
    big = "select value from json_each(?)"
    database.sql.unsafe(f"create view big as {big.replace('?', repr(str([1] * 2_000)))}")
    with pytest.raises(StatementTimeout) as caught:
        database.sql.unsafe(text)
    assert caught.value.limit == 0.0
    assert isinstance(caught.value, TimeoutError)
    stays(database)


@pytest.mark.parametrize(
    "text",
    [
        f"insert into t {NUMBERS} select i from n",
        f"update t set x = ({NUMBERS} select count(*) from n)",
        f"delete from t where x in ({NUMBERS} select i from n where i < 0)",
        f"create table q as {NUMBERS} select i from n",
        f"insert into t {NUMBERS} select i from n returning x",
    ],
)
def test_a_write_that_takes_too_long_undoes_its_step(limited: Limited, text: str) -> None:
    database = limited(seconds=0.0)
    with pytest.raises(StatementTimeout) as caught:
        database.sql.unsafe(text)
    went(database, caught.value)


def test_many_is_one_statement_to_the_time_limit(
    limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = limited(seconds=5.0)
    now = [0.0]

    def tick() -> float:
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr(time, "monotonic", tick)
    slow = f"insert into t select count(*) from ({NUMBERS} select i from n limit ?)"
    with pytest.raises(StatementTimeout) as caught:
        database.sql.many(slow, [(1_000,)] * 1_000)
    went(database, caught.value)


def test_without_a_time_limit_nothing_is_interrupted(limited: Limited) -> None:
    database = limited(seconds=None)
    assert database.sql.unsafe(f"{NUMBERS} select i from n limit 1 offset 200000").value()


def test_idle_time_never_interrupts_the_runtimes_own_statements(
    limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite counts instructions over all uses of one BEGIN, so it asks in some of them."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    database = limited(seconds=1.0)
    for i in range(2_000):
        now[0] += 3_600.0
        with database.transaction():
            database.sql("insert into t values (?)", i)
        now[0] += 3_600.0
        if i % 2:
            database.commit()
        else:
            database.rollback()
    assert database.sql("select count(*) from t").value() == 1_001


# -- memory ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f"{NUMBERS} select randomblob(100000) as r from n order by r",
        f"{NUMBERS}, b as materialized (select randomblob(100000) from n) select count(*) from b",
        f"{NUMBERS} select count(distinct randomblob(100000)) from n",
        f"{NUMBERS} select randomblob(100000) as r, count(*) from n group by r",
    ],
)
def test_sorts_and_aggregates_are_limited_in_memory(limited: Limited, text: str) -> None:
    database = limited(heap=32 << 20)
    with pytest.raises(OutOfMemory) as caught:
        database.sql.unsafe(text)
    assert caught.value.limit == 32 << 20
    assert isinstance(caught.value, MemoryError)
    went(database, caught.value)


def test_a_full_memory_in_a_write_undoes_the_step(limited: Limited) -> None:
    database = limited(heap=32 << 20)
    with pytest.raises(OutOfMemory) as caught:
        database.sql.unsafe(
            f"insert into t {NUMBERS} select randomblob(100000) as r from n order by r"
        )
    went(database, caught.value)


# -- size -----------------------------------------------------------------------------------


def test_a_database_is_limited(limited: Limited) -> None:
    database = limited(database=1 << 20)
    with pytest.raises(StorageFull) as caught:
        database.sql.many("insert into t values (zeroblob(?))", [(100_000,)] * 20)
    went(database, caught.value)
    assert database.size() <= 1 << 20


def test_a_database_may_be_filled_to_its_limit(limited: Limited) -> None:
    database = limited(database=1 << 20)
    database.sql.many("insert into t values (zeroblob(?))", [(100_000,)] * 10)
    database.commit()
    assert 1_000_000 < database.size() <= 1 << 20
    database.sql("delete from t where x = zeroblob(100000)")
    database.sql("insert into t values (zeroblob(100000))")
    database.commit()


def test_open_databases_are_limited_and_those_closed_keep_their_data(memory: Path) -> None:
    store = Store.open(memory / "state", open_databases=3)
    for again in range(2):
        for i in range(10):
            database = store.root("Kind", str(i))
            if not again:
                database.sql("create table t(x)")
            database.sql("insert into t values (?)", again)
            database.commit()
            assert store.stats()["open"] <= 4  # the catalogue stays open
    assert store.root("Kind", "0").sql("select x from t").all() == [(0,), (1,)]
    store.close()


# -- the table ------------------------------------------------------------------------------


def test_every_limit_is_on_by_default() -> None:
    for one in fields(StorageLimits):
        assert getattr(StorageLimits(), one.name), one.name


def test_the_documents_list_every_limit_with_its_default_and_its_error() -> None:
    page = (Path(facets.__file__).parent.parent / "docs" / "actors.md").read_text()
    units = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "s": 1.0, "": 1}
    listed = {}
    for name, number, unit, error in re.findall(
        r"^\| `(\w+)` \| ([\d,]+) ?(\w*) \|.*`(\w+)` \|$", page, re.MULTILINE
    ):
        if error in vars(errors):
            listed[name] = int(number.replace(",", "")) * units[unit]
    defaults = {one.name: getattr(StorageLimits(), one.name) for one in fields(StorageLimits)}
    assert listed == {**defaults, "open_databases": 256}
