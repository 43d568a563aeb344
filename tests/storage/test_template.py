"""The template: the image that every new database file begins with."""

from __future__ import annotations

import tempfile
from pathlib import Path

import apsw
import pytest

from storage import Store
from storage.limits import PAGE_SIZE
from storage.template import APPLICATION_ID, image, template


def test_the_template_is_one_empty_page_in_wal_mode() -> None:
    data = template()
    assert len(data) == PAGE_SIZE
    assert data.startswith(b"SQLite format 3\0")
    assert int.from_bytes(data[16:18], "big") == PAGE_SIZE
    assert data[18:20] == b"\2\2"  # written and read by WAL: opening it changes nothing
    assert int.from_bytes(data[68:72], "big") == APPLICATION_ID


def test_the_template_is_made_once_and_is_always_the_same() -> None:
    assert template() is template()
    assert image("") == template()


def test_an_image_holds_its_schema(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(image("create table t(x); insert into t values (7);"))
    db = apsw.Connection(str(path))
    assert list(db.execute("select x from t")) == [(7,)]
    assert list(db.execute("pragma integrity_check")) == [("ok",)]
    db.close()


def test_making_an_image_leaves_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    image("create table t(x);")
    with pytest.raises(apsw.SQLError):
        image("create tabel t(x);")
    assert list(tmp_path.iterdir()) == []


def test_a_new_database_is_known_by_its_application_id(store: Store) -> None:
    database = store.root("Kind", "name")
    assert database.sql("pragma application_id").value() == APPLICATION_ID == 0x46414354
