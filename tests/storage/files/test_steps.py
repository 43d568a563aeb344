"""Files are part of the step, and as durable as rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.database import Database
from storage.errors import FileExists, FileMissing, SqlDenied
from storage.files import Files
from storage.store import Store
from tests.storage.files.conftest import undo
from tests.storage.files.fake import check


def test_looking_where_nothing_was_written_makes_no_database(fs: Files, database: Database) -> None:
    assert fs.listdir() == []
    assert fs.glob("**") == []
    assert not fs.exists("/x")
    assert fs.stat("/").kind == "directory"
    assert fs.usage().files == 0
    with pytest.raises(FileMissing):
        fs.read("/x")
    assert not database.has_file


def test_a_step_that_is_undone_takes_files_and_tables_along(fs: Files, database: Database) -> None:
    fs.write("/f", b"x")
    undo(database, fs)
    assert fs.listdir() == []
    fs.write("/f", b"kept")
    database.commit()
    fs.write("/f", b"lost")
    fs.mkdir("/d")
    fs.rename("/f", "/d/f")
    undo(database, fs)
    assert (fs.listdir(), fs.read("/f")) == (["f"], b"kept")


def test_a_transaction_that_raises_undoes_its_changes_to_files_alone(
    fs: Files, database: Database
) -> None:
    fs.write("/f", b"before")

    def part() -> None:
        with database.transaction():
            fs.append("/f", b"more" * 50_000)
            fs.write("/g", b"x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        part()
    fs.forget()
    assert (fs.listdir(), fs.read("/f")) == (["f"], b"before")


def test_a_method_that_raises_has_changed_nothing(fs: Files) -> None:
    fs.mkdir("/a/b", parents=True)
    fs.write("/a/b/f", b"")
    before = fs.scandir("/a/b"), fs.listdir(), fs.stat("/")
    with pytest.raises(FileExists):
        fs.mkdir("/new/x/../../a/b/f", parents=True)
    with pytest.raises(TypeError):
        fs.write("/new", "text")  # type: ignore[arg-type]
    assert (fs.scandir("/a/b"), fs.listdir(), fs.stat("/")) == before


def test_files_and_rows_of_one_step_are_kept_together(fs: Files, database: Database) -> None:
    database.sql("create table t(x)")
    database.commit()
    database.sql("insert into t values (1)")
    fs.write("/f", b"x")
    undo(database, fs)
    assert (database.sql("select * from t").all(), fs.listdir()) == ([], [])


def test_files_are_there_when_the_store_is_opened_again(state: Path) -> None:
    store = Store.open(state)
    database = store.root("Kind", "name")
    fs = Files(database)
    fs.mkdir("/d")
    fs.write("/d/f", b"x" * 300_000)
    fs.symlink("f", "/d/l")
    fs.chmod("/d/f", 0o600)
    before = fs.scandir("/d")
    database.commit()
    fs.write("/never", b"committed")
    database.rollback()
    store.close()
    store = Store.open(state)
    database = store.root("Kind", "name")
    fs = Files(database)
    assert fs.listdir() == ["d"]
    assert fs.scandir("/d") == before
    assert fs.read("/d/l") == b"x" * 300_000
    check(database)
    store.close()


def test_the_files_of_two_actors_are_apart(fs: Files, store: Store) -> None:
    fs.write("/f", b"mine")
    other = Files(store.root("Other", "name"))
    assert other.listdir() == []
    other.write("/f", b"theirs")
    assert (fs.read("/f"), other.read("/f")) == (b"mine", b"theirs")
    store.root("Other", "name").rollback()


def test_the_tables_are_out_of_reach_of_sql(fs: Files, database: Database) -> None:
    fs.write("/f", b"x")
    for statement in (
        "select * from _facets_files_nodes",
        "delete from _facets_files_chunks",
        "drop trigger _facets_files_node_in",
    ):
        with pytest.raises(SqlDenied):
            database.sql.unsafe(statement)


def test_an_open_file_whose_step_was_undone_writes_into_no_other(
    fs: Files, database: Database
) -> None:
    fs.write("/first", b"")
    database.commit()
    lost = fs.open("/lost", "wb", buffering=0)
    undo(database, fs)
    fs.write("/later", b"later")
    with pytest.raises(FileMissing):
        lost.write(b"x")
    fs.unlink("/later")
    fs.write("/latest", b"latest")
    with pytest.raises(FileMissing):
        lost.write(b"x")
    assert fs.read("/latest") == b"latest"
