"""`sql`: every statement runs to its end, and a failed one takes nothing else with it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from storage import Database, StorageLimits, Store
from storage.errors import (
    ConstraintError,
    NotStorable,
    SqlDenied,
    SqlError,
    StorageFull,
)
from tests.storage.scratch import scratch


@pytest.fixture
def table(database: Database) -> Database:
    database.sql("create table t(x unique, y)")
    database.commit()
    return database


def xs(database: Database) -> list[object]:
    return [row.x for row in database.sql("select x from t order by x")]


def test_a_statement_returns_all_of_its_rows(table: Database) -> None:
    table.sql("insert into t values (1, 'a'), (2, 'b'), (3, 'c')")
    assert table.sql("select x, y from t order by x").all() == [(1, "a"), (2, "b"), (3, "c")]


def test_rows_do_not_change_when_the_table_does(table: Database) -> None:
    table.sql("insert into t values (1, 'a'), (2, 'b')")
    rows = table.sql("select x from t order by x")
    table.sql("delete from t")
    table.rollback()
    assert rows.all() == [(1,), (2,)]


def test_returning_writes_every_row_though_only_the_first_is_looked_at(table: Database) -> None:
    first = table.sql("insert into t values (1, 0), (2, 0), (3, 0) returning x").first()
    assert first == (1,)
    table.commit()
    assert xs(table) == [1, 2, 3]


def test_returning_can_be_committed_without_looking_at_its_rows(table: Database) -> None:
    table.sql("update t set y = 1 returning x")
    table.sql("insert into t values (1, 0) returning x")
    before = table.sequence
    assert table.commit() > before


def test_every_statement_of_a_text_runs(table: Database) -> None:
    table.sql(
        "select x from t; insert into t values (1, 0) returning x; insert into t values(2, 0)"
    )
    assert xs(table) == [1, 2]


def test_a_statement_behind_one_with_rows_runs(table: Database) -> None:
    table.sql("insert into t values (1, 0), (2, 0) returning x; update t set y = 7")
    assert table.sql("select sum(y) from t").value() == 14


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("select 1 as a; select 2 as b, 3 as c", ("b", "c"), [(2, 3)]),
        ("select 1 as a union all select 2; select 3 as a", ("a",), [(3,)]),
        ("select 1 as a; select 2 as b where 0", ("b",), []),
        ("select 1 as a; insert into t values (1, 0)", (), []),
        ("insert into t values (1, 0); select 2 as b", ("b",), [(2,)]),
        ("select 1 as a; -- nothing more", ("a",), [(1,)]),
        ("", (), []),
        ("-- nothing", (), []),
        (";;", (), []),
    ],
)
def test_of_several_statements_the_rows_are_those_of_the_last(
    table: Database, text: str, columns: tuple[str, ...], rows: list[tuple[int, ...]]
) -> None:
    found = table.sql.unsafe(text)
    assert (found.columns, found.all()) == (columns, rows)


def test_values_are_shared_out_over_several_statements(table: Database) -> None:
    table.sql("insert into t values (?, ?); insert into t values (?, ?)", 1, "a", 2, "b")
    assert table.sql("select x, y from t order by x").all() == [(1, "a"), (2, "b")]


def test_values_are_given_by_name(table: Database) -> None:
    assert table.sql("select :a + $b + @c", a=1, b=2, c=3).value() == 6


def test_values_by_position_and_by_name_together_are_refused(database: Database) -> None:
    with pytest.raises(TypeError, match="not both"):
        database.sql("select ?, :a", 1, a=2)


@pytest.mark.parametrize(
    ("text", "args", "named"),
    [("select ?", (), {}), ("select ?", (1, 2), {}), ("select :a", (), {"b": 1})],
)
def test_a_wrong_number_of_values_is_an_sql_error(
    database: Database, text: str, args: tuple[int, ...], named: dict[str, int]
) -> None:
    with pytest.raises(SqlError) as caught:
        database.sql.unsafe(text, *args, **named)
    assert caught.value.statement == text


plain = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.binary(max_size=30),
)


@given(st.lists(plain, min_size=1, max_size=8))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_values_come_back_as_they_were(database: Database, values: list[object]) -> None:
    names = ", ".join("?" * len(values))
    found = tuple(database.sql.unsafe(f"select {names}", *values).one())
    assert found == tuple(values)
    assert [type(value) for value in found] == [type(value) for value in values]


def test_nan_is_stored_as_null(database: Database) -> None:
    assert database.sql("select ?", float("nan")).value() is None


def test_true_is_stored_as_one(database: Database) -> None:
    assert database.sql("select ?, typeof(?1)", True).one() == (1, "integer")


@pytest.mark.parametrize("value", [object(), 2**63, -(2**63) - 1, "\ud800", [1], {"a": 1}, 1j])
def test_a_value_that_sqlite_has_no_type_for_is_not_storable(
    table: Database, value: object
) -> None:
    table.sql("insert into t values (1, 0)")
    with pytest.raises(NotStorable) as caught:
        table.sql("insert into t values (2, ?)", value)
    assert caught.value.statement == "insert into t values (2, ?)"
    assert isinstance(caught.value, TypeError)
    assert xs(table) == [1]


@pytest.mark.parametrize("text", ["select '\ud800'", "select 1\0; select 2"])
def test_text_that_is_not_sql_text_is_an_sql_error(database: Database, text: str) -> None:
    with pytest.raises(SqlError):
        database.sql.unsafe(text)


def test_a_query_that_is_not_text_is_a_type_error(database: Database) -> None:
    with pytest.raises(TypeError):
        database.sql(b"select 1")  # type: ignore[arg-type]


# -- what a failed statement leaves ---------------------------------------------------------


def test_a_failed_statement_changes_nothing_and_leaves_the_step_open(table: Database) -> None:
    table.sql("insert into t values (1, 0)")
    with pytest.raises(ConstraintError):
        table.sql("insert into t values (2, 0), (3, 0), (1, 0)")
    assert table.in_step
    assert xs(table) == [1]
    table.commit()
    assert xs(table) == [1]


def test_statements_before_the_failed_one_in_a_text_stay(table: Database) -> None:
    with pytest.raises(SqlError):
        table.sql("insert into t values (1, 0); insert into missing values (1)")
    assert xs(table) == [1]


def test_an_update_that_fails_halfway_changes_no_row(table: Database) -> None:
    table.sql("insert into t values (1, 0), (2, 0), (3, 0)")
    with pytest.raises(ConstraintError):
        table.sql("update t set x = min(x + 1, 3)")
    assert xs(table) == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("selec 1", SqlError),
        ("select nothing from t", SqlError),
        ("insert into t(x) select 1 union all select 1", ConstraintError),
        ("begin", SqlDenied),
        ("select ? + ?", SqlError),
    ],
)
def test_an_error_says_what_the_statement_was(
    table: Database, text: str, error: type[SqlError]
) -> None:
    with pytest.raises(error) as caught:
        table.sql.unsafe(text)
    assert caught.value.statement == text
    assert isinstance(caught.value.code, int)
    assert table.in_step
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy), copy.statement) == (error, str(caught.value), text)


def test_the_code_of_an_error_is_sqlites_extended_one(table: Database) -> None:
    table.sql("insert into t values (1, 0)")
    with pytest.raises(ConstraintError) as caught:
        table.sql("insert into t values (1, 0)")
    assert caught.value.code == 2067  # SQLITE_CONSTRAINT_UNIQUE


def test_a_long_statement_is_cut_in_its_error(database: Database) -> None:
    with pytest.raises(SqlError) as caught:
        database.sql.unsafe("selec " + "1" * 10_000)
    assert len(caught.value.statement) < 600


def test_a_statement_that_asks_for_it_undoes_the_whole_step(table: Database) -> None:
    table.sql("insert into t values (1, 0)")
    table.commit()
    table.sql("insert into t values (2, 0)")
    with pytest.raises(ConstraintError) as caught:
        table.sql("insert or rollback into t values (1, 0)")
    assert "the whole step was rolled back" in caught.value.__notes__
    assert not table.in_step
    assert xs(table) == [1]


def test_foreign_keys_are_checked(database: Database) -> None:
    database.sql("create table p(k integer primary key); create table c(k references p)")
    with pytest.raises(ConstraintError):
        database.sql("insert into c values (1)")


def test_a_deferred_constraint_fails_the_commit_and_undoes_the_step(database: Database) -> None:
    database.sql("create table p(k integer primary key); create table c(k references p)")
    database.commit()
    database.sql("pragma defer_foreign_keys = on")
    database.sql("insert into c values (1)")
    with pytest.raises(ConstraintError):
        database.commit()
    assert not database.in_step
    assert database.sql("select count(*) from c").value() == 0


# -- how many rows changed ------------------------------------------------------------------


def test_changes_counts_what_the_statement_changed(table: Database) -> None:
    assert table.sql("insert into t values (1, 0), (2, 0), (3, 0)").changes == 3
    assert table.sql("update t set y = 1 where x > 1").changes == 2
    assert table.sql("select * from t").changes == 0
    assert table.sql("delete from t").changes == 3
    assert table.sql("create table other(x)").changes == 0


def test_changes_counts_those_of_triggers_too(table: Database) -> None:
    table.sql("create table log(x)")
    table.sql("create trigger tr after insert on t begin insert into log values (new.x); end")
    assert table.sql("insert into t values (1, 0)").changes == 2


# -- many -----------------------------------------------------------------------------------


def test_many_runs_the_statement_for_each_row(table: Database) -> None:
    assert table.sql.many("insert into t values (?, ?)", [(i, 0) for i in range(10)]) == 10
    assert table.sql.many("insert into t values (:x, 0)", [{"x": 10}, {"x": 11}]) == 2
    assert xs(table) == list(range(12))


def test_many_of_no_rows_does_nothing(table: Database) -> None:
    assert table.sql.many("insert into t values (?, ?)", []) == 0


def test_many_takes_a_generator(table: Database) -> None:
    assert table.sql.many("insert into t values (?, 0)", ((i,) for i in range(3))) == 3


def test_many_writes_all_rows_or_none(table: Database) -> None:
    table.sql("insert into t values (5, 0)")
    with pytest.raises(ConstraintError):
        table.sql.many("insert into t values (?, 0)", [(i,) for i in range(8)])
    assert table.in_step
    assert xs(table) == [5]


def test_many_writes_none_when_a_value_cannot_be_stored(table: Database) -> None:
    with pytest.raises(NotStorable):
        table.sql.many("insert into t values (?, 0)", [(1,), (object(),)])
    assert xs(table) == []


def test_many_writes_none_when_a_row_asks_to_undo_the_step(table: Database) -> None:
    table.sql("insert into t values (5, 0)")
    table.commit()
    table.sql("insert into t values (6, 0)")
    with pytest.raises(ConstraintError):
        table.sql.many("insert or rollback into t values (?, 0)", [(1,), (5,)])
    assert xs(table) == [5]


def test_many_reads_the_rows_of_returning_to_the_end(table: Database) -> None:
    assert table.sql.many("insert into t values (?, 0) returning x", [(1,), (2,)]) == 2
    table.commit()
    assert xs(table) == [1, 2]


# -- the disk -------------------------------------------------------------------------------


@pytest.fixture
def small(memory: Path) -> Iterator[Database]:
    store = Store.open(memory / "small", limits=StorageLimits(database=40 * 4096))
    yield store.root("Kind", "name")
    store.close()


@pytest.mark.parametrize("constraint", ["x", "x unique", "x primary key", "x check (x >= 0)"])
@pytest.mark.parametrize("verb", ["insert", "insert or replace", "insert or ignore"])
def test_a_full_database_undoes_the_whole_step(small: Database, constraint: str, verb: str) -> None:
    # SQLite itself undoes the statement or the transaction, as it happens to keep a journal.
    small.sql.unsafe(f"create table t({constraint}, y)")
    small.sql("insert into t values (500, 0)")
    small.commit()
    small.sql("insert into t values (1000, 0)")
    numbers = "with recursive n(i) as (select 0 union all select i + 1 from n where i < 200) "
    with pytest.raises(StorageFull) as caught:
        small.sql.unsafe(f"{numbers} {verb} into t select i, zeroblob(4000) from n")
    assert "the whole step was rolled back" in caught.value.__notes__
    assert not small.in_step
    assert xs(small) == [500]


def test_a_full_database_undoes_the_step_around_a_transaction_too(small: Database) -> None:
    small.sql("create table t(x unique)")
    small.commit()
    small.sql("insert into t values (1)")

    def overflow() -> None:
        with small.transaction():
            small.sql("insert into t values (2)")
            small.sql.many("insert into t values (randomblob(?))", [(4000,)] * 100)

    with pytest.raises(StorageFull):
        overflow()
    assert not small.in_step
    assert xs(small) == []


def test_there_is_room_again_after_a_full_step_was_undone(small: Database) -> None:
    small.sql("create table t(x)")
    small.commit()
    with pytest.raises(StorageFull):
        small.sql.many("insert into t values (zeroblob(?))", [(4000,)] * 100)
    small.sql("insert into t values (1)")
    small.commit()
    assert xs(small) == [1]


# -- steps, against a model -----------------------------------------------------------------


class Steps(RuleBasedStateMachine):
    """One table of unique numbers in steps, savepoints and reopenings, against plain sets."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = scratch()
        self.store = Store.open(Path(self.directory.name) / "state")
        self.database = self.store.root("Kind", "name")
        self.database.sql("create table t(x unique, y)")
        self.database.commit()
        self.kept: dict[int, int] = {}
        self.now: dict[int, int] = {}
        self.savepoints: list[dict[int, int]] = []

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    @rule(numbers=st.lists(st.integers(0, 15), min_size=1, max_size=4), y=st.integers(0, 3))
    def insert(self, numbers: list[int], y: int) -> None:
        values = ", ".join(f"({number}, {y})" for number in numbers)
        clash = len(set(numbers)) < len(numbers) or set(numbers) & set(self.now)
        try:
            self.database.sql.unsafe(f"insert into t values {values} returning x")
            assert not clash
            self.now |= dict.fromkeys(numbers, y)
        except ConstraintError:
            assert clash

    @rule(numbers=st.lists(st.integers(0, 15), max_size=4))
    def many(self, numbers: list[int]) -> None:
        clash = len(set(numbers)) < len(numbers) or set(numbers) & set(self.now)
        try:
            assert self.database.sql.many("insert into t values (?, 9)", [(n,) for n in numbers])
            assert not clash
            self.now |= dict.fromkeys(numbers, 9)
        except ConstraintError:
            assert clash
        except AssertionError:
            assert not numbers

    @rule(low=st.integers(0, 15))
    def delete(self, low: int) -> None:
        gone = {x for x in self.now if x >= low}
        assert self.database.sql("delete from t where x >= ?", low).changes == len(gone)
        for x in gone:
            del self.now[x]

    @rule(y=st.integers(0, 3))
    def update(self, y: int) -> None:
        assert self.database.sql("update t set y = ?", y).changes == len(self.now)
        self.now = dict.fromkeys(self.now, y)

    @rule(text=st.sampled_from(["nonsense", "begin", "select * from _facets_kv", "select ?"]))
    def fail(self, text: str) -> None:
        with pytest.raises(SqlError):
            self.database.sql.unsafe(text)

    @precondition(lambda self: len(self.savepoints) < 4)
    @rule()
    def savepoint(self) -> None:
        self.database.begin_savepoint()
        self.savepoints.append(dict(self.now))

    @precondition(lambda self: self.savepoints)
    @rule(keep=st.booleans())
    def end_savepoint(self, keep: bool) -> None:
        was = self.savepoints.pop()
        if keep:
            self.database.release_savepoint()
        else:
            self.database.rollback_savepoint()
            self.now = was

    @precondition(lambda self: not self.savepoints)
    @rule()
    def commit(self) -> None:
        self.database.commit()
        self.kept = dict(self.now)

    @rule()
    def rollback(self) -> None:
        self.database.rollback()
        self.savepoints.clear()
        self.now = dict(self.kept)

    @rule()
    def asks_to_roll_back(self) -> None:
        if self.now:
            with pytest.raises(ConstraintError):
                self.database.sql("insert or rollback into t values (?, 0)", min(self.now))
            self.savepoints.clear()
            self.now = dict(self.kept)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store.open(Path(self.directory.name) / "state")
        self.database = self.store.root("Kind", "name")
        self.savepoints.clear()
        self.now = dict(self.kept)

    @rule()
    def sleep(self) -> None:
        self.database.sleep()

    @invariant()
    def the_table_holds_what_the_model_does(self) -> None:
        rows = self.database.sql("select x, y from t order by x")
        assert dict(rows.all()) == self.now  # type: ignore[arg-type]


TestSteps = Steps.TestCase
TestSteps.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
