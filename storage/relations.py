"""Two database files, compared by what stands in them.

Rows are matched by the primary key of their table, or by rowid if it has none; values that differ
in bytes or case differ, whatever the collation. What `self.kv` and `self.fs` keep is told as keys
and files, and only the tables of the file system behind them are left out.
"""

# ruff: noqa: S608 - names are quoted, and a schema of a file says which there are

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

import apsw
import msgspec

Values = Mapping[str, Any]
Defined = Literal["index", "trigger", "view"]
Found = tuple[
    Literal["table", "row", "key", "file"] | Defined,
    str,
    tuple[Any, ...],
    Values | None,
    Values | None,
]
_TABLES = """
select l.name, s.sql from pragma_table_list l join {schema}.sqlite_schema s on s.name = l.name
where l.schema = ? and l.type in ('table', 'virtual') and l.name not glob 'sqlite_*'
and l.name not glob '_facets_files_*' and l.name != '_facets_kv'
"""
_DEFINED = """
select type, tbl_name, name, sql from {schema}.sqlite_schema
where type in ('index', 'trigger', 'view') and sql is not null and tbl_name not glob '_facets_*'
"""
"""Besides tables; what SQLite makes for a constraint has no text of its own."""
_COLUMNS = "select name, pk from pragma_table_xinfo(?, ?) where hidden = 0"
_THERE = "select 1 from {schema}.sqlite_schema where name = ?"
_FILES = """
create temp table {name}(path text primary key, kind, mode, size, mtime, target, content)
without rowid;
insert into {name}
with recursive tree(id, path) as (
    select id, '/' from {schema}._facets_files_nodes where id = 1
    union all
    select n.id, iif(t.path = '/', '/', t.path || '/') || n.name
    from tree t join {schema}._facets_files_nodes n on n.parent = t.id)
select t.path, n.kind, n.mode, n.size, n.mtime, n.target,
    (select group_concat(e.start || ':' || hex(coalesce(c.hash, '')), ' ' order by e.start)
     from {schema}._facets_files_extents e
     left join {schema}._facets_files_chunks c on c.id = e.chunk where e.node = n.id)
from tree t join {schema}._facets_files_nodes n on n.id = t.id where n.id != 1
"""


class Table(NamedTuple):
    """How a table looks."""

    sql: str
    keys: tuple[str, ...]
    """Of what a row is found by."""
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """What is compared: the same columns on both sides."""

    kind: Literal["row", "key", "file"]
    table: str
    old: str | None
    """Its name in SQL; None if that side has none."""
    new: str | None
    keys: tuple[str, ...]
    values: tuple[str, ...]


def compare(old: Path | None, new: Path | None) -> Iterator[Found]:
    """What differs, of two files at rest; None for an actor without one."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
    with closing(apsw.Connection(":memory:", flags)) as db:
        db.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
        for schema, path in (("old", old), ("new", new)):
            where = ":memory:" if path is None else f"file:{quote(str(path))}?immutable=1"
            db.execute(f"attach ? as {schema}", (where,))
        yield from _of_tables(db)
        yield from _of_definitions(db)
        if _is_there(db, "_facets_kv"):
            yield from _rows(db, _relation(db, "key", "_facets_kv", ("key",), ("value",)))
        if _is_there(db, "_facets_files_nodes"):
            yield from _of_files(db)


def _of_tables(db: apsw.Connection) -> Iterator[Found]:
    before, after = _tables(db, "old"), _tables(db, "new")
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if (old and old.sql) != (new and new.sql):
            yield "table", name, (), old and {"sql": old.sql}, new and {"sql": new.sql}
        one = old or new
        assert one is not None  # noqa: S101 - it is on one side
        if old is None or new is None or old.keys == new.keys:
            values = one.values if new is None or old is None else _both(old, new)
            yield from _rows(db, _relation(db, "row", name, one.keys, values))
        else:  # nothing says which row is which
            was = Relation("row", name, _quoted(name, "old"), None, old.keys, old.values)
            now = Relation("row", name, None, _quoted(name, "new"), new.keys, new.values)
            yield from _rows(db, was)
            yield from _rows(db, now)


def _of_definitions(db: apsw.Connection) -> Iterator[Found]:
    before, after = _definitions(db, "old"), _definitions(db, "new")
    for one in sorted({*before, *after}):
        old, new = before.get(one), after.get(one)
        if old != new:
            kind, table, name = one
            key = () if kind == "view" else (name,)
            was, now = ({"sql": sql} if sql else None for sql in (old, new))
            yield kind, table, key, was, now


def _definitions(db: apsw.Connection, schema: str) -> dict[tuple[Defined, str, str], str]:
    return {(kind, *names): sql for kind, *names, sql in db.execute(_DEFINED.format(schema=schema))}


def _both(old: Table, new: Table) -> tuple[str, ...]:
    """Columns that can be compared: of the others the definition of the table tells."""
    return tuple(one for one in old.values if one in new.values)


def _tables(db: apsw.Connection, schema: str) -> dict[str, Table]:
    found = list(db.execute(_TABLES.format(schema=schema), (schema,)))
    return {name: _table(db, schema, name, sql) for name, sql in found}


def _table(db: apsw.Connection, schema: str, name: str, sql: str) -> Table:
    columns = list(db.execute(_COLUMNS, (name, schema)))
    keys = tuple(one for one, place in sorted(columns, key=lambda row: row[1]) if place)
    return Table(sql, keys or ("rowid",), tuple(one for one, place in columns if not place))


def _is_there(db: apsw.Connection, name: str) -> bool:
    return any(list(db.execute(_THERE.format(schema=one), (name,))) for one in ("old", "new"))


def _relation(
    db: apsw.Connection,
    kind: Literal["row", "key"],
    name: str,
    keys: tuple[str, ...],
    values: tuple[str, ...],
) -> Relation:
    old, new = (
        _quoted(name, one) if list(db.execute(_THERE.format(schema=one), (name,))) else None
        for one in ("old", "new")
    )
    return Relation(kind, name if kind == "row" else "", old, new, keys, values)


def _of_files(db: apsw.Connection) -> Iterator[Found]:
    names: list[str | None] = []
    for schema in ("old", "new"):
        there = list(db.execute(_THERE.format(schema=schema), ("_facets_files_nodes",)))
        names.append(f"temp.files_{schema}" if there else None)
        if there:
            db.execute(_FILES.format(name=f"files_{schema}", schema=schema))
    values = ("kind", "mode", "size", "mtime", "target", "content")
    yield from _rows(db, Relation("file", "", names[0], names[1], ("path",), values))


# -- rows ---------------------------------------------------------------------------------------


def _rows(db: apsw.Connection, one: Relation) -> Iterator[Found]:
    """Those of the old side that are gone or changed, in the order of keys, then what is new."""
    width = len(one.keys)
    same = " and ".join(f"a.{_quoted(key)} = b.{_quoted(key)}" for key in one.keys)
    if one.old and one.new:
        query = (
            f"select {_columns('a', one.keys + one.values)}, {_columns('b', one.keys)},"
            f" {_columns('b', one.values) or 'null'} from {one.old} a left join {one.new} b"
            f" on {same} where b.{_quoted(one.keys[0])} is null{_differs(one.values)}"
        )
        for row in db.execute(query):
            old, new = row[: width + len(one.values)], row[width + len(one.values) :]
            yield _found(one, old, None if new[0] is None else new)
        query = f"select {_columns('b', one.keys + one.values)} from {one.new} b"
        query += f" where not exists (select 1 from {one.old} a where {same})"
        yield from (_found(one, None, row) for row in db.execute(query))
    elif one.old:
        query = f"select {_columns('a', one.keys + one.values)} from {one.old} a"
        yield from (_found(one, row, None) for row in db.execute(query))
    elif one.new:
        query = f"select {_columns('b', one.keys + one.values)} from {one.new} b"
        yield from (_found(one, None, row) for row in db.execute(query))


def _found(one: Relation, old: tuple[Any, ...] | None, new: tuple[Any, ...] | None) -> Found:
    width = len(one.keys)
    row = old or new
    assert row is not None  # noqa: S101 - it is on one side
    return one.kind, one.table, row[:width], _shown(one, old), _shown(one, new)


def _shown(one: Relation, row: tuple[Any, ...] | None) -> Values | None:
    if row is None:
        return None
    values = dict(zip(one.values, row[len(one.keys) :], strict=False))
    if one.kind == "key":
        return {"value": msgspec.msgpack.decode(values["value"])}
    if one.kind == "file":
        content = (values.pop("content") or "").encode()
        return values | {"content": blake2b(content, digest_size=16).hexdigest()}
    if one.keys == ("rowid",):
        return values
    return dict(zip(one.keys, row, strict=False)) | values


def _differs(values: tuple[str, ...]) -> str:
    return "".join(
        f" or a.{_quoted(one)} is not b.{_quoted(one)} collate binary"
        f" or typeof(a.{_quoted(one)}) != typeof(b.{_quoted(one)})"
        for one in values
    )


def _columns(side: str, names: tuple[str, ...]) -> str:
    return ", ".join(f"{side}.{_quoted(one)}" for one in names)


def _quoted(name: str, schema: str = "") -> str:
    quoted = '"' + name.replace('"', '""') + '"'
    return f"{schema}.{quoted}" if schema else quoted
