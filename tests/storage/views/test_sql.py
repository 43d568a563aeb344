"""A view of tables runs a stranger's SQL: over those tables, and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from storage.database import Database
from storage.errors import (
    ConstraintError,
    SqlDenied,
    SqlError,
    StatementTimeout,
    TooManyRows,
    ValueTooLarge,
)
from storage.views import SqlView
from storage.views.view import CONFINED


@pytest.fixture
def filled(database: Database) -> Database:
    for statement in (
        "create table open(id integer primary key, name text)",
        "create table Other(id integer primary key, open_id references open(id) on delete cascade)",
        "create table secret(key text)",
        "create view shown as select key from secret",
        "create trigger leak after update on open begin insert into secret values (new.name); end",
        "insert into open values (1, 'one'), (2, 'two')",
        "insert into other values (1, 1)",
        "insert into secret values ('key')",
    ):
        database.sql.unsafe(statement)
    database.kv["k"] = 1
    database.commit()
    return database


def untouched(database: Database) -> bool:
    return (
        database.sql("select count(*) from open").value() == 2
        and database.sql("select group_concat(key) from secret").value() == "key"
        and dict(database.kv) == {"k": 1}
        and database.sql("select count(*) from sqlite_schema where name = 'x'").value() == 0
    )


def test_a_select_over_the_tables_returns_all_of_its_rows(filled: Database) -> None:
    view = filled.sql.view(["open", "OTHER"])

    assert view.query("select name from open order by id").all() == [("one",), ("two",)]
    assert view.query("select name from OPEN where id = ?", 2).value() == "two"
    assert view.query("select name from open where id = :id", id=1).value() == "one"
    joined = "select o.name from open o join other t on t.open_id = o.id"
    assert view.query(joined).all() == [("one",)]
    recursive = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5)"
    assert view.query(f"{recursive} select sum(i) from n").value() == 15
    assert view.query("select value from json_each('[1, 2]')").all() == [(1,), (2,)]
    assert view.query("select upper(name), count(*) over () from open").first() == ("ONE", 2)


REFUSED = re.compile("no such|may not be modified")
"""What SQLite says by itself."""
READS = [
    "select * from secret",
    "select count(*) from secret",
    "select 1 from secret",
    "select (select key from secret)",
    "select name from open where exists (select 1 from secret)",
    "select name from open union select key from secret",
    "select name from open order by (select key from secret)",
    "with open as (select key as name from secret) select name from open",
    "with shown as (select key from secret) select key from shown",
    "select * from (select * from secret) as open",
    "select o.key from secret as o",
    "select key from main.secret",
    "select key from shown",
    "select * from sqlite_schema",
    "select * from sqlite_master",
    "select sql from main.sqlite_schema",
    "select * from pragma_table_info('secret')",
    "select * from pragma_table_list",
    "select * from _facets_kv",
    "select * from sqlite_stat1",
    "select * from dbstat",
    "explain select * from secret",
    "select name from open; select key from secret",
]
CHANGES = [
    "insert into open values (3, 'x')",
    "update open set name = 'x'",
    "delete from open",
    "replace into open values (1, 'x')",
    "insert into open values (1, 'x') on conflict do update set name = 'y'",
    "update open set name = 'x' returning name",
    "with x as (select 1) delete from open",
]
NEVER = [
    "create table x(a)",
    "create view x as select 1",
    "create trigger x after insert on open begin delete from secret; end",
    "create index x on open(name)",
    "create temp table x(a)",
    "create virtual table x using fts5(a)",
    "drop table open",
    "drop table secret",
    "alter table open add column x",
    "alter table open rename to x",
    "pragma user_version = 7",
    "pragma table_info(secret)",
    "pragma foreign_keys = off",
    "begin",
    "commit",
    "rollback",
    "savepoint x",
    "attach ':memory:' as x",
    "vacuum",
    "reindex",
    "analyze",
    "select load_extension('x')",
    "select writefile('x', 'y')",
    "select name from open; drop table open",
    "insert into secret values ('x')",
    "delete from secret",
    "insert into open select 3, key from secret",
    "update open set name = (select key from secret)",
    "delete from open where name in (select key from secret)",
    "insert into other values (2, 1) returning (select key from secret)",
    "insert into _facets_kv values ('k', x'00')",
    "delete from sqlite_schema",
]


@pytest.mark.parametrize("query", READS + CHANGES + NEVER)
def test_a_view_for_reading_shows_and_changes_nothing_else(filled: Database, query: str) -> None:
    view = filled.sql.view(["open", "other", "shown"])

    with pytest.raises(SqlError) as caught:
        view.query(query)

    assert isinstance(caught.value, SqlDenied) or REFUSED.search(str(caught.value))
    assert untouched(filled)
    with pytest.raises(PermissionError):
        view.execute("delete from open")


@pytest.mark.parametrize("query", READS + NEVER)
def test_a_view_for_writing_does_no_more_to_the_rest(filled: Database, query: str) -> None:
    view = filled.sql.view(["open", "other", "shown"], "rw")

    with pytest.raises(SqlError) as caught:
        view.execute(query)

    assert isinstance(caught.value, SqlDenied) or REFUSED.search(str(caught.value))
    assert untouched(filled)


def test_a_view_for_writing_writes_rows(filled: Database) -> None:
    view = filled.sql.view(["open", "other"], "rw")

    assert view.execute("insert into open values (3, 'three')").changes == 1
    assert view.execute("delete from other where id = 1").changes == 1
    assert view.execute("delete from open where id = 3 returning name").value() == "three"
    with pytest.raises(ConstraintError):
        view.execute("insert into open values (1, 'again')")
    with pytest.raises(SqlDenied):
        view.query("delete from open")


def test_triggers_and_foreign_keys_do_nothing_that_the_view_may_not(filled: Database) -> None:
    view = filled.sql.view(["open"], "rw")

    with pytest.raises(SqlDenied):
        view.execute("update open set name = 'x' where id = 1")
    with pytest.raises(SqlDenied):
        view.execute("delete from open where id = 1")
    assert untouched(filled)
    assert filled.sql("select count(*) from other").value() == 1


def test_statements_that_were_prepared_for_the_owner_are_asked_about_again(
    filled: Database,
) -> None:
    view = filled.sql.view(["open"])
    query = "select key from secret"
    for _ in range(3):
        assert filled.sql.unsafe(query).value() == "key"
        with pytest.raises(SqlDenied):
            view.query(query)
    for _ in range(3):
        assert view.query("select name from open where id = 1").value() == "one"
        assert filled.sql("update secret set key = key").changes == 1


def test_the_limits_are_those_of_strangers_and_only_meanwhile(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.views.view.CONFINED", replace(CONFINED, rows=100))
    view = filled.sql.view(["open"])
    numbers = "with recursive n(i) as (select 1 union all select i + 1 from n limit {})"
    rows = numbers + " select i from n"

    with pytest.raises(TooManyRows):
        view.query(rows.format(101))
    with pytest.raises(StatementTimeout):
        view.query(rows.format(1 << 40).replace("select i from", "select max(i) from"))
    with pytest.raises(ValueTooLarge):
        view.query("select zeroblob(2000000)")
    assert len(filled.sql("select zeroblob(2000000)").value()) == 2_000_000
    assert len(filled.sql.unsafe(rows.format(101))) == 101


def test_a_view_names_its_tables(database: Database) -> None:
    with pytest.raises(TypeError, match="list of names"):
        SqlView(database, "open", "r")
    with pytest.raises(TypeError, match="text"):
        SqlView(database, [1], "r")  # type: ignore[list-item]
    assert repr(database.sql.view(["b", "a"])) == "<tables a, b>"
