"""Looking into database files at rest: complete, and without a -wal that counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import apsw

from storage.catalogue import SUBTREE, Row
from storage.errors import DatabaseCorrupt
from storage.files.chunks import object_key
from storage.schedule import EXISTS, NEXT

FILES = "select 1 from sqlite_schema where name = '_facets_files_chunks'"
OBJECTS = "select hash from _facets_files_chunks where object = 1"


@contextmanager
def reading(path: Path) -> Iterator[apsw.Connection]:
    """A connection that changes nothing, neither the file nor a -wal beside it."""
    uri = f"file:{quote(str(path))}?immutable=1"
    db = apsw.Connection(uri, apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    try:
        db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        db.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        yield db
    finally:
        db.close()


def objects_of(path: Path) -> set[str]:
    """Keys of the objects that the files in a database are made of; `DatabaseCorrupt`."""
    try:
        with reading(path) as db:
            found = list(db.execute(OBJECTS)) if list(db.execute(FILES)) else []
    except apsw.Error as error:
        raise DatabaseCorrupt(f"{path} cannot be read: {error}", path=str(path)) from error
    return {object_key(digest) for (digest,) in found}


def due_of(path: Path) -> int | None:
    """When the first timer in a database is due; None without one."""
    with reading(path) as db:
        found = list(db.execute(NEXT)) if list(db.execute(EXISTS)) else []
    return found[0][0] if found else None


def tree_of(path: Path, kind: str, name: str) -> list[Row]:
    """The rows of a root actor and all below it in a catalogue, parents first; maybe none."""
    with reading(path) as db:
        query = "select uid from actors where parent = 0 and kind = ? and name = ?"
        found = list(db.execute(query, (kind, name)))
        return [Row(*row) for row in db.execute(SUBTREE, found[0])] if found else []
