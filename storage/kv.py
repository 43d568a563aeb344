"""`self.kv`: an ordered mapping in the actor's database."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import msgspec

from storage.errors import NotStorable

if TYPE_CHECKING:
    from storage.database import Database

_TABLE = "create table _facets_kv(key text primary key, value blob not null) without rowid"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_LAST = "\U0010ffff"


class Kv(MutableMapping[str, Any]):
    """Text keys, in the order of their UTF-8 bytes; values are what msgpack holds, and bytes.

    Values are copies: changing one that was read changes nothing until it is set again. A
    tuple comes back as a list. Writes belong to the current step like those of `sql`. A key
    or value that cannot be kept is `NotStorable`. Reading where nothing was ever written
    does not create the database.
    """

    __slots__ = ("_database", "_ready")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ready = False

    def forget(self) -> None:
        """Look again whether the table is there: the step that made it was rolled back."""
        self._ready = False

    def __getitem__(self, key: str) -> Any:
        rows = self._read("select value from _facets_kv where key = ?", (_key(key),))
        if not rows:
            raise KeyError(key)
        return _decode(rows[0][0])

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        if not self.delete_many((key,)):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        found = isinstance(key, str) and self._read(
            "select 1 from _facets_kv where key = ?", (key,)
        )
        return bool(found)

    def __len__(self) -> int:
        rows = self._read("select count(*) from _facets_kv", ())
        return int(rows[0][0]) if rows else 0

    def __iter__(self) -> Iterator[str]:
        return iter([row[0] for row in self._read("select key from _facets_kv order by key", ())])

    def list(
        self,
        prefix: str = "",
        *,
        start: str | None = None,
        end: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> builtins.list[tuple[str, Any]]:
        """Pairs whose key begins with `prefix`, from `start` to before `end`, in order."""
        low = max(_key(prefix), _key(start or ""))
        conditions, values = ["key >= ?"], [low]
        for bound in (end, prefix + _LAST if prefix else None):
            if bound is not None:
                conditions.append("key < ?")
                values.append(_key(bound))
        query = f"select key, value from _facets_kv where {' and '.join(conditions)} order by key"  # noqa: S608
        query += " desc" if reverse else ""
        rows = self._read(query + " limit ?", (*values, -1 if limit is None else limit))
        return [(row[0], _decode(row[1])) for row in rows]

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values of those keys that are there."""
        return {key: self[key] for key in keys if key in self}

    def update(self, values: Any = (), /, **named: Any) -> None:
        """Set several keys; all of them can be kept, or none is changed."""
        pairs = dict(values, **named) if not isinstance(values, Mapping) else {**values, **named}
        rows = [(_key(key), _value(key, value)) for key, value in pairs.items()]
        if rows:
            self._write()
            for row in rows:
                self._database.run_own("insert or replace into _facets_kv values (?, ?)", row)

    def delete_many(self, keys: Iterable[str]) -> int:
        """Delete those keys that are there; how many were."""
        found = 0
        for key in keys:
            found += len(
                self._read("delete from _facets_kv where key = ? returning 1", (_key(key),))
            )
        return found

    def clear(self) -> None:
        """Delete every key."""
        self._read("delete from _facets_kv", ())

    def _read(self, query: str, values: tuple[Any, ...]) -> builtins.list[tuple[Any, ...]]:
        database = self._database
        database.look()
        if not database.has_file or not self._is_ready():
            return []
        return database.run_own(query, values)

    def _is_ready(self) -> bool:
        if not self._ready:
            query = "select 1 from sqlite_schema where name = '_facets_kv'"
            self._ready = bool(self._database.run_own(query))
        return self._ready

    def _write(self) -> None:
        if not self._is_ready():
            self._database.run_own(_TABLE)
            self._ready = True


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise NotStorable(f"a key is text, not {type(key).__name__}", key=repr(key)[:100])
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise NotStorable(f"the key {key!r} is not valid Unicode", key=repr(key)[:100]) from error
    return key


def _value(key: str, value: Any) -> bytes:
    try:
        return _encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise NotStorable(
            f"kv[{key!r}] cannot be kept: {error}",
            hint="keep plain data: numbers, text, bytes, lists, dicts",
            key=key,
        ) from error
