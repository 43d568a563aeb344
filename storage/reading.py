"""Looking into database files at rest: complete, and without a -wal that counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import apsw

from storage.catalogue import SUBTREE, Row
from storage.errors import DatabaseCorrupt
from storage.files.chunks import object_key
from storage.schedule import EXISTS, NEXT

FILES = "select 1 from sqlite_schema where name = '_facets_files_chunks'"
MAGIC = b"SQLite format 3\0"
OURS = (b"_facets_files_chunks", b"_facets_timers")
SMALL = 64 << 10
"""Bytes up to which reading a file takes less time than opening it: 6 us, and 50."""
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


def is_plain(path: Path) -> bool:
    """Whether the bytes of a small database tell, without SQLite, that it has no files and no
    timers. On any thread.

    Both tables are our own, and what the schema says of each is far smaller than a page: it stands
    in one piece on one of them.
    """
    if path.stat().st_size > SMALL:
        return False
    data = path.read_bytes()
    return data.startswith(MAGIC) and not any(name in data for name in OURS)


class Found(NamedTuple):
    """What a store must know of a database that it takes in."""

    objects: set[str]
    """Keys of the objects that its files are made of."""
    due: int | None
    """When its first timer is due."""


def look(path: Path) -> Found:
    """Open a database once and see; `DatabaseCorrupt`. On any thread.

    Not by its bytes: of a damaged file they would say that it names nothing, and what it names
    would be swept.
    """
    try:
        with reading(path) as db:
            objects = list(db.execute(OBJECTS)) if list(db.execute(FILES)) else []
            due = list(db.execute(NEXT)) if list(db.execute(EXISTS)) else []
    except apsw.Error as error:
        raise DatabaseCorrupt(f"{path} cannot be read: {error}", path=str(path)) from error
    return Found({object_key(digest) for (digest,) in objects}, due[0][0] if due else None)


def look_at_copy(path: Path) -> Found:
    """The same for a file that was just made from a sound one, faster where its bytes tell."""
    return Found(set(), None) if is_plain(path) else look(path)


def tree_of(path: Path, kind: str, name: str) -> list[Row]:
    """The rows of a root actor and all below it in a catalogue, parents first; maybe none."""
    with reading(path) as db:
        query = "select uid from actors where parent = 0 and kind = ? and name = ?"
        found = list(db.execute(query, (kind, name)))
        return [Row(*row) for row in db.execute(SUBTREE, found[0])] if found else []
