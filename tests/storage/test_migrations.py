"""Migrations: applied once, in order, in the first step that needs them, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage import Database, StorageLimits, Store
from storage.errors import ConstraintError, MigrationFailed, SqlDenied, SqlError, StorageFull

FIRST = "create table t(x unique)"
SECOND = "alter table t add column y default 'new'"
THIRD = "create table u(x); insert into u select x from t"


def tables(database: Database) -> list[str]:
    return [row.name for row in database.sql("select name from sqlite_schema where sql > ''")]


def applied(database: Database) -> int:
    return int(database.run_own("select count(*) from _facets_migrations")[0][0])


def test_migrations_are_applied_in_order_before_the_first_statement(database: Database) -> None:
    database.migrations = [FIRST, "insert into t values (1)", SECOND, THIRD]
    assert database.sql("select * from t").all() == [(1, "new")]
    assert database.sql("select * from u").all() == [(1,)]


def test_nothing_is_applied_before_there_is_a_step(store: Store) -> None:
    database = store.root("Kind", "name")
    database.migrations = [FIRST]
    assert len(database.kv) == 0
    assert not database.exists()


def test_migrations_are_applied_once(store: Store) -> None:
    for again in range(3):
        database = store.root("Kind", "name")
        database.migrations = [FIRST, f"insert into t values ({7})"]
        assert database.sql("select count(*) from t").value() == 1, again
        database.commit()
        database.sleep()


def test_migrations_survive_a_reopening(memory: Path) -> None:
    for _ in range(2):
        store = Store.open(memory / "state")
        database = store.root("Kind", "name")
        database.migrations = [FIRST, "insert into t values (1)"]
        assert database.sql("select x from t").all() == [(1,)]
        database.commit()
        store.close()


def test_new_migrations_at_the_end_are_applied(database: Database) -> None:
    database.migrations = [FIRST, "insert into t values (1)"]
    database.begin()
    database.commit()
    database.migrations = [FIRST, "insert into t values (1)", SECOND, THIRD]
    assert database.sql("select x, y from t").all() == [(1, "new")]
    assert applied(database) == 4


def test_older_code_runs_on_a_newer_database(database: Database) -> None:
    database.migrations = [FIRST, SECOND]
    database.begin()
    database.commit()
    database.migrations = [FIRST]
    database.sql("insert into t(x) values (1)")
    database.commit()
    database.migrations = [FIRST, SECOND]
    assert database.sql("select * from t").all() == [(1, "new")]
    assert applied(database) == 2


@pytest.mark.parametrize(
    ("changed", "index"),
    [
        (["create table t(x)", SECOND], 0),
        ([FIRST, SECOND + " "], 1),
        ([SECOND, FIRST], 0),
        (["create table w(x)", FIRST, SECOND], 0),
        ([SECOND], 0),
    ],
)
def test_a_changed_migration_is_refused_and_changes_nothing(
    database: Database, changed: list[str], index: int
) -> None:
    database.migrations = [FIRST, SECOND]
    database.sql("insert into t(x) values (1)")
    database.commit()
    database.migrations = changed
    with pytest.raises(MigrationFailed) as caught:
        database.sql("select 1")
    assert (caught.value.index, caught.value.statement) == (index, changed[index])
    assert not database.in_step
    database.migrations = [FIRST, SECOND]
    assert database.sql("select * from t").all() == [(1, "new")]


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        ("create tabel t2(x)", SqlError),
        ("insert into t values (1), (1)", ConstraintError),
        ("create table t2(x); insert into missing values (1)", SqlError),
        ("insert or rollback into t values (0)", ConstraintError),
        ("create table t2(x); commit", SqlDenied),
        ("create table _facets_t2(x)", SqlDenied),
        ("create temp table t2(x)", SqlDenied),
        ("insert into t values (?)", SqlError),
    ],
)
def test_a_failed_migration_leaves_none_applied(
    database: Database, bad: str, cause: type[Exception]
) -> None:
    database.migrations = [FIRST, "insert into t values (0)", bad]
    with pytest.raises(MigrationFailed) as caught:
        database.sql("select 1")
    assert (caught.value.index, caught.value.statement) == (2, bad)
    assert isinstance(caught.value.__cause__, cause)
    assert not database.in_step
    database.migrations = []
    assert tables(database) == []


def test_a_failed_migration_leaves_the_ones_of_earlier_steps(database: Database) -> None:
    database.migrations = [FIRST]
    database.sql("insert into t values (1)")
    database.commit()
    database.migrations = [FIRST, SECOND, "nonsense"]
    for _ in range(2):
        with pytest.raises(MigrationFailed):
            database.sql("select 1")
    database.migrations = [FIRST]
    assert database.sql("select * from t").all() == [(1,)]
    assert applied(database) == 1


def test_a_migration_that_was_mended_is_applied(database: Database) -> None:
    database.migrations = [FIRST, "nonsense"]
    with pytest.raises(MigrationFailed):
        database.sql("select 1")
    database.migrations = [FIRST, SECOND]
    database.sql("insert into t(x) values (1)")
    assert database.sql("select y from t").value() == "new"


def test_migrations_are_undone_with_their_step_and_applied_again(database: Database) -> None:
    database.migrations = [FIRST, "insert into t values (1)"]
    for _ in range(3):
        assert database.sql("select x from t").all() == [(1,)]
        database.rollback()
    database.sql("insert into t values (2)")
    database.commit()
    assert database.sql("select x from t").all() == [(1,), (2,)]


def test_a_part_of_a_step_that_is_undone_leaves_the_migrations(database: Database) -> None:
    database.migrations = [FIRST]
    database.begin_savepoint()
    database.sql("insert into t values (1)")
    database.rollback_savepoint()
    database.sql("insert into t values (2)")
    database.commit()
    assert database.sql("select x from t").all() == [(2,)]


def test_migrations_after_a_wipe_are_applied_again(database: Database) -> None:
    database.migrations = [FIRST, "insert into t values (1)"]
    database.sql("insert into t values (2)")
    database.commit()
    database.delete()
    assert database.sql("select x from t").all() == [(1,)]


def test_a_full_disk_in_a_migration_applies_none(memory: Path) -> None:
    store = Store.open(memory / "state", limits=StorageLimits(database=20 * 4096))
    database = store.root("Kind", "name")
    fill = (
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 99) "
        "insert into t select randomblob(4000) from n"
    )
    database.migrations = [FIRST, fill]
    with pytest.raises(MigrationFailed) as caught:
        database.begin()
    assert isinstance(caught.value.__cause__, StorageFull)
    database.migrations = []
    assert tables(database) == []
    store.close()
