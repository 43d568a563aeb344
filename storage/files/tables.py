"""The tables of a file system, and its statements.

nodes     what there is: each has one name in one directory. Node 1 is the root. A node in
          directory 0 is a stream's, not finished; one that no running stream owns is scratch.
chunks    contents, each once, by hash; `refs` extents use it. Where `object` is 1 the bytes are
          an object of the store, else they are in `data`: a table of its own, so that a
          reference counted up or down does not write the bytes again.
extents   which chunk lies where in which file. What no extent covers reads as zeros.
totals    one row: what the limits are about.

Counts are kept by triggers. So removing a node, with all below it, is one statement, and no
path through the code can forget a count.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storage.database import Database

ROOT = 1
DETACHED = 0

_TABLES = (
    "create table _facets_files_nodes(id integer primary key, parent integer not null,"
    " name text not null, kind text not null, mode integer not null, mtime integer not null,"
    " size integer not null default 0, target text not null default '', unique(parent, name))",
    "create table _facets_files_chunks(id integer primary key, hash blob not null,"
    " object integer not null, refs integer not null default 0, unique(hash, object))",
    "create table _facets_files_data(id integer primary key, data blob not null)",
    "create table _facets_files_extents(node integer not null, start integer not null,"
    " size integer not null, chunk integer not null, object integer not null,"
    " primary key(node, start)) without rowid",
    "create index _facets_files_inline on _facets_files_extents(node, start, size)"
    " where object = 0",
    "create table _facets_files_totals(bytes integer not null, entries integer not null)",
    "insert into _facets_files_totals values (0, 0)",
    "insert into _facets_files_nodes(id, parent, name, kind, mode, mtime)"
    " values (1, 0, '', 'directory', 493, 0)",  # mode 0o755
)
_DROP = """
    update _facets_files_chunks set refs = refs - 1 where id = old.chunk;
    delete from _facets_files_data
        where id = (select id from _facets_files_chunks where id = old.chunk and refs = 0);
    delete from _facets_files_chunks where id = old.chunk and refs = 0;"""
_TRIGGERS = (
    """create trigger _facets_files_node_in after insert on _facets_files_nodes begin
    update _facets_files_totals set bytes = bytes + new.size, entries = entries + 1; end""",
    """create trigger _facets_files_node_out after delete on _facets_files_nodes begin
    update _facets_files_totals set bytes = bytes - old.size, entries = entries - 1;
    delete from _facets_files_extents where node = old.id; end""",
    """create trigger _facets_files_resize after update of size on _facets_files_nodes
    when old.size != new.size begin
    update _facets_files_totals set bytes = bytes + new.size - old.size; end""",
    """create trigger _facets_files_extent_in after insert on _facets_files_extents begin
    update _facets_files_chunks set refs = refs + 1 where id = new.chunk; end""",
    f"create trigger _facets_files_extent_out after delete on _facets_files_extents begin{_DROP}"
    " end",
    "create trigger _facets_files_extent_set after update of chunk on _facets_files_extents"  # noqa: S608
    " when old.chunk != new.chunk begin"
    f" update _facets_files_chunks set refs = refs + 1 where id = new.chunk;{_DROP} end",
)


class Tables:
    """Statements on the tables, which are made by the first change."""

    __slots__ = ("_ready", "database")

    def __init__(self, database: Database) -> None:
        self.database = database
        self._ready = False

    def forget(self) -> None:
        """Look again whether the tables are there: the step that made them was rolled back."""
        self._ready = False

    def read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows; none where nothing was ever written, and then no database is made."""
        self.database.look()
        if not self.database.has_file or not self.ready():
            return []
        return self.database.run_own(query, values)

    def write(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """A statement inside `change`."""
        return self.database.run_own(query, values)

    @contextmanager
    def change(self) -> Iterator[None]:
        """A part of the step that happens as a whole or, when it raises, not at all."""
        if not self.ready():
            for statement in (*_TABLES[:-1], *_TRIGGERS, _TABLES[-1]):
                self.database.run_own(statement)
            self._ready = True
        with self.database.transaction():
            yield

    def ready(self) -> bool:
        """Whether the tables are there."""
        if not self._ready:
            query = "select 1 from sqlite_schema where name = '_facets_files_nodes'"
            self._ready = bool(self.database.run_own(query))
        return self._ready

    def totals(self) -> tuple[int, int]:
        """Bytes of all files, and the number of all entries, the root among them."""
        rows = self.read("select bytes, entries from _facets_files_totals")
        return (rows[0][0], rows[0][1]) if rows else (0, 1)
