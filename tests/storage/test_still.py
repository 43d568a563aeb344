"""One moment of a database, read while the database goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import Store
from storage.database import Database
from storage.errors import ReadOnly, SqlDenied
from storage.still import Still, is_ready, let_go, still

SUM = "select count(*), coalesce(sum(n), 0), coalesce(sum(length(pad)), 0) from t"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "state")
    yield store
    store.close()


@pytest.fixture
def database(store: Store) -> Database:
    database = store.root("Thing", "a")
    database.migrations = ("create table t(n integer, pad text)",)
    add(database, 1)
    return database


def add(database: Database, n: int, pad: int = 10) -> None:
    database.sql("insert into t values (?, ?)", n, "x" * pad)
    database.commit()


def seen(one: Database) -> tuple[int, ...]:
    found = tuple(one.sql(SUM).one())
    if not isinstance(one, Still):
        one.commit()
    return found


def test_it_does_not_see_what_is_committed_later(database: Database) -> None:
    one = still(database)
    for n in range(2, 50):
        add(database, n, 3000)
    two = still(database)
    add(database, 1000)

    assert seen(one) == (1, 1, 10)
    assert seen(two) == (49, sum(range(50)), 10 + 48 * 3000)
    assert seen(database)[0] == 50
    one.close()
    two.close()


def test_calls_of_one_moment_share_a_still(database: Database) -> None:
    one, two = still(database), still(database)
    assert one is two
    one.close()
    assert seen(two) == (1, 1, 10)
    two.close()
    assert database.held == 0


def test_a_connection_shows_the_next_moment_when_it_is_used_again(database: Database) -> None:
    for n in range(2, 8):
        one = still(database)
        assert seen(one)[0] == n - 1
        one.close()
        add(database, n, 5000)
    for n in range(3):
        database.sql("update t set n = ?", 100 + n)  # in place: the file has its size
        database.commit()
        one = still(database)
        assert seen(one)[1] == (100 + n) * 7
        one.close()
    database.sql("create table other(x)")
    database.commit()
    with_table = still(database)
    assert with_table.sql("select count(*) from other").value() == 0
    with_table.close()


def test_nothing_is_checkpointed_while_it_is_open(store: Store, database: Database) -> None:
    one = still(database)
    for n in range(2, 400):
        add(database, n, 3000)
    store.sync()
    store.tend(everything=True)
    assert seen(one) == (1, 1, 10)
    one.close()
    store.tend(everything=True)
    assert database.marks == []
    after = still(database)
    for n in range(400, 410):
        add(database, n, 3000)
    assert seen(after)[0] == 399
    after.close()


def test_what_is_kept_for_the_next_one_is_closed_with_the_last_actor(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.still.KEPT", 2)
    before = len(list(Path("/proc/self/fd").iterdir()))
    databases = [store.root("Thing", f"many {i}") for i in range(6)]
    for one in databases:
        one.migrations = ("create table t(n integer, pad text)",)
        add(one, 1)
        first = still(one)
        add(one, 2)
        second = still(one)
        assert (seen(first)[0], seen(second)[0]) == (1, 2)
        first.close()
        second.close()
    still_open = still(databases[-1])
    for one in databases:
        let_go(one)
    assert seen(still_open)[0] == 2
    still_open.close()
    for one in databases:
        one.close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_what_was_known_of_frames_is_forgotten_with_a_checkpoint(
    store: Store, database: Database
) -> None:
    for n in range(2, 20, 2):
        one = still(database)
        assert seen(one)[:2] == (n - 1, sum(range(n)))
        one.close()
        add(database, n, 3000)
        store.sync()
        store.tend(everything=True)
        add(database, n + 1, 10)


@pytest.mark.parametrize(
    "write",
    [
        "insert into t values (1, 'x')",
        "update t set n = 2",
        "delete from t",
        "create table u(x)",
        "drop table t",
    ],
)
def test_sql_that_writes_is_refused(database: Database, write: str) -> None:
    one = still(database)
    with pytest.raises(ReadOnly):
        one.sql.unsafe(write)
    assert seen(one) == seen(database) == (1, 1, 10)
    one.close()


def test_the_other_kinds_of_state_are_seen_and_not_written(database: Database) -> None:
    database.kv["a"] = 1
    database.fs.write_text("/f", "text")
    database.commit()
    one = still(database)
    database.kv["a"] = 2
    database.fs.write_text("/f", "later")
    database.commit()

    assert one.kv["a"] == 1
    assert dict(one.kv) == {"a": 1}
    assert one.fs.read_text("/f") == "text"
    with pytest.raises(ReadOnly):
        one.kv["a"] = 3
    with pytest.raises(ReadOnly):
        one.fs.write_text("/g", "x")
    with pytest.raises(ReadOnly):
        one.sql.many("insert into t values (?, ?)", [(1, "x")])
    assert dict(one.kv) == {"a": 1}
    one.close()


def test_what_is_denied_to_actors_is_denied_here(database: Database) -> None:
    one = still(database)
    for denied in ("pragma query_only=0", "attach 'x' as y", "select * from _facets_migrations"):
        with pytest.raises(SqlDenied):
            one.sql.unsafe(denied)
    one.close()


def test_it_knows_what_was_there_before_this_process(tmp_path: Path) -> None:
    with closing(Store.open(tmp_path / "other")) as store:
        database = store.root("Thing", "a")
        database.migrations = ("create table t(n integer, pad text)",)
        add(database, 5)
        store.sync()
    with closing(Store.open(tmp_path / "other")) as store:
        again = store.root("Thing", "a")
        assert is_ready(again)
        one = still(again)
        add(again, 6)
        assert seen(one) == (1, 5, 10)
        one.close()


def test_a_database_that_is_deleted_leaves_its_stills_as_they_are(database: Database) -> None:
    one = still(database)
    database.delete()
    assert seen(one) == (1, 1, 10)
    one.close()
    assert database.held == 0
    assert not is_ready(database)


Move = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 6000)),
    st.tuples(st.just("remove"), st.integers(0, 50)),
    st.tuples(st.just("open"), st.just(0)),
    st.tuples(st.just("close"), st.integers(0, 5)),
    st.tuples(st.just("tend"), st.just(0)),
    st.tuples(st.just("sleep"), st.just(0)),
)


@settings(max_examples=30, deadline=None)
@given(moves=st.lists(Move, max_size=40))
def test_every_still_goes_on_showing_its_moment(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, int]]
) -> None:
    with closing(Store.open(tmp_path_factory.mktemp("still"))) as store:
        database = store.root("Thing", "a")
        database.migrations = ("create table t(n integer, pad text)",)
        add(database, 0)
        stills: list[tuple[Still, tuple[int, ...]]] = []
        for n, (move, value) in enumerate(moves):
            if move == "add":
                add(database, n, value)
            elif move == "remove":
                database.sql("delete from t where n > ?", value)
                database.commit()
            elif move == "open":
                stills.append((still(database), seen(database)))
            elif move == "close" and stills:
                stills.pop(value % len(stills))[0].close()
            elif move == "tend":
                store.sync()
                store.tend(everything=True)
            elif move == "sleep":
                database.sleep()
            for one, expected in stills:
                assert seen(one) == expected
        for one, _ in stills:
            one.close()
        assert database.held == 0
