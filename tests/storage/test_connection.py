"""One open connection: nothing is synced or checkpointed behind the runtime's back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from storage import Database, StorageLimits
from storage.connection import Connection
from storage.errors import ConstraintError, DatabaseCorrupt, StatementTimeout, StorageFull
from storage.frames import FrameReader
from storage.limits import PAGE_SIZE
from storage.template import template


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "1.db"
    path.write_bytes(template())
    return path


def opened(file: Path, **limits: int | float) -> Connection:
    return Connection(file, FrameReader(wal(file)), StorageLimits(**limits))  # type: ignore[arg-type]


def wal(file: Path) -> Path:
    return file.with_name(file.name + "-wal")


@pytest.fixture
def connection(file: Path) -> Iterator[Connection]:
    connection = opened(file)
    yield connection
    connection.close()


def in_step(connection: Connection, *statements: str) -> None:
    connection.begin()
    for statement in statements:
        connection.run(statement)
    connection.commit()


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"), ("locking_mode", "exclusive"), ("synchronous", 0),
        ("wal_autocheckpoint", 0), ("temp_store", 2), ("foreign_keys", 1), ("page_size", 4096),
        ("trusted_schema", 0), ("cell_size_check", 1), ("recursive_triggers", 0),
    ],
)  # fmt: skip
def test_a_connection_is_set_up_for_the_journal(
    connection: Connection, pragma: str, value: object
) -> None:
    assert connection.own(f"pragma {pragma}") == [(value,)]


def test_opening_writes_nothing(file: Path) -> None:
    opened(file).close()
    assert file.read_bytes() == template()
    assert wal(file).read_bytes() == b""


def test_there_is_no_shared_memory_file(file: Path, connection: Connection) -> None:
    in_step(connection, "create table t(x)")
    assert sorted(path.name for path in file.parent.iterdir()) == ["1.db", "1.db-wal"]


def test_commit_tells_what_was_written(connection: Connection) -> None:
    connection.begin()
    connection.run("create table t(x)")
    made = connection.commit()
    assert made is not None
    assert (made.size, sorted(made.pages)) == (2, [1, 2])
    assert {len(page) for page in made.pages.values()} == {4096}


def test_a_commit_of_nothing_tells_nothing(connection: Connection) -> None:
    for statement in ("select 1", "delete from sqlite_schema where 0 and 1", "-- nothing"):
        connection.begin()
        if not statement.startswith("delete"):
            connection.run(statement)
        assert connection.commit() is None
        assert not connection.in_transaction


def test_a_rollback_leaves_nothing_to_tell(connection: Connection) -> None:
    connection.begin()
    connection.run("create table t(x)")
    connection.rollback()
    assert not connection.in_transaction
    connection.begin()
    assert connection.commit() is None
    connection.rollback()  # without a step: nothing


def test_closing_moves_nothing_into_the_file(file: Path) -> None:
    connection = opened(file)
    in_step(connection, "create table t(x)")
    connection.close()
    assert file.read_bytes() == template()
    assert wal(file).stat().st_size > 0


def test_no_number_of_commits_moves_anything_into_the_file(
    file: Path, connection: Connection
) -> None:
    in_step(connection, "create table t(x)")
    for _ in range(1_200):  # SQLite's own limit is 1,000 frames
        in_step(connection, "insert into t values (1)")
    assert file.read_bytes() == template()
    assert wal(file).stat().st_size > 1_000 * PAGE_SIZE


def test_a_checkpoint_moves_everything_into_the_file(file: Path, connection: Connection) -> None:
    in_step(connection, "create table t(x)", "insert into t values ('here it is')")
    connection.checkpoint()
    assert b"here it is" in file.read_bytes()
    size = wal(file).stat().st_size
    in_step(connection, "insert into t values (2)")
    assert wal(file).stat().st_size == size  # the -wal began again


def test_half_read_statements_do_not_stop_a_checkpoint(file: Path, connection: Connection) -> None:
    in_step(connection, "create table t(x)", "insert into t values (1), (2), (3) returning x")
    in_step(connection, "select * from t", "update t set x = 'here it is' returning x")
    connection.checkpoint()
    assert b"here it is" in file.read_bytes()


def test_a_commit_that_fails_undoes_the_step(connection: Connection) -> None:
    in_step(connection, "create table p(k integer primary key); create table c(k references p)")
    connection.begin()
    connection.run("pragma defer_foreign_keys = on")
    connection.run("insert into c values (1)")
    with pytest.raises(ConstraintError):
        connection.commit()
    assert not connection.in_transaction
    assert connection.own("select count(*) from c") == [(0,)]


def test_reopening_shows_what_the_wal_holds(file: Path) -> None:
    reader = FrameReader(wal(file))
    first = Connection(file, reader, StorageLimits())
    in_step(first, "create table t(x)", "insert into t values (1)")
    first.close()
    second = Connection(file, reader, StorageLimits())
    in_step(second, "insert into t values (2)")
    assert second.own("select x from t") == [(1,), (2,)]
    second.close()


@pytest.mark.parametrize("content", [None, b"this is no database" * 100, b"SQLite format 3\0" * 9])
def test_a_file_that_is_no_database_is_corrupt(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "1.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatabaseCorrupt) as caught:
        opened(path)
    assert caught.value.path == str(path)


def test_a_damaged_page_is_corrupt_and_names_the_file(file: Path) -> None:
    connection = opened(file)
    in_step(connection, "create table t(x)", "insert into t values (1)")
    connection.checkpoint()
    connection.close()
    wal(file).unlink()
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)
    damaged = opened(file)
    damaged.begin()
    with pytest.raises(DatabaseCorrupt) as caught:
        damaged.run("select * from t")
    assert caught.value.path == str(file)
    damaged.close()


def test_a_second_connection_cannot_open_the_file(file: Path, connection: Connection) -> None:
    in_step(connection, "create table t(x)")
    other = apsw.Connection(str(file))
    with pytest.raises(apsw.BusyError):
        other.execute("select * from t")
    other.close()


def test_the_runtime_may_name_what_actors_may_not(connection: Connection) -> None:
    connection.begin()
    connection.own("create table _facets_x(y)")
    connection.own("insert into _facets_x values (?)", (1,))
    assert connection.own("select y from _facets_x") == [(1,)]
    connection.own("savepoint s")
    connection.own("rollback to s")
    connection.commit()


@pytest.mark.parametrize(
    ("text", "open_"),
    [("select count(*) from t a, t b, t c", True), ("update t set x = x + 1", False)],
)
def test_an_interrupt_from_the_keyboard_ends_a_statement_cleanly(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, text: str, open_: bool
) -> None:
    in_step(
        connection,
        "create table t(x)",
        "with recursive n(i) as (select 1 union all select i + 1 from n limit 3000) "
        "insert into t select i from n",
    )
    calls = [0]

    def pressed() -> float:
        calls[0] += 1
        if calls[0] == 2:  # the first is the start of the statement's time
            raise KeyboardInterrupt
        return 0.0

    monkeypatch.setattr(time, "monotonic", pressed)
    connection.begin()
    with pytest.raises(KeyboardInterrupt):
        connection.run(text)
    assert connection.in_transaction == open_
    connection.rollback()
    in_step(connection, "insert into t values (1)")
    connection.checkpoint()


def test_the_runtime_rolls_back_in_its_own_name(file: Path) -> None:
    """Though it does so while an actor's statement fails, and actors may not."""
    connection = opened(file, database=10 * 4096)
    connection.begin()
    connection.run("create table t(x unique)")  # SQLite itself undoes only the statement
    with pytest.raises(StorageFull):
        connection.run(
            "with recursive n(i) as (select 1 union all select i + 1 from n limit 99) "
            "insert into t select randomblob(4000) from n"
        )
    assert not connection.in_transaction
    connection.close()


def test_the_time_limit_counts_from_the_start_of_each_statement(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    connection = opened(file, seconds=1.0)
    connection.begin()
    long = "with recursive n(i) as (select 1 union all select i + 1 from n limit 9000) "
    connection.run(long + "select max(i) from n")
    now[0] += 100.0
    connection.run(long + "select max(i) from n")

    def passes() -> float:
        now[0] += 0.6
        return now[0]

    monkeypatch.setattr(time, "monotonic", passes)
    with pytest.raises(StatementTimeout):
        connection.run(long + "select max(i) from n")
    connection.close()


def test_statements_that_differ_only_in_who_runs_them_are_prepared_apart(
    database: Database,
) -> None:
    database.kv["a"] = 1
    text = "select count(*) from _facets_kv"
    assert database.run_own(text) == [(1,)]
    with pytest.raises(PermissionError):
        database.sql(text)
    assert database.run_own(text) == [(1,)]
