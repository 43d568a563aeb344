"""`self.kv`: an ordered mapping in the actor's database."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from storage.errors import NotStorable, ResultTooLarge

if TYPE_CHECKING:
    from storage.database import Database
    from storage.views.kv import KvView

_TABLE = "create table _facets_kv(key text primary key, value blob not null) without rowid"
_SELECT = "select value from _facets_kv where key = ?"
_DELETE = "delete from _facets_kv where key = ? returning 1"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_LAST = 0x10FFFF
_CONTAINER = 72
"""Bytes of memory that an empty list or dict takes; encoded, it is one byte."""
_MARKS = bytes([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF])
"""What such a byte may be. Others are, too, in texts and bytes."""
_FEW = 1000


class Kv(MutableMapping[str, Any]):
    """Text keys, in the order of their UTF-8 bytes; values are what msgpack holds, and bytes.

    Values are copies: changing one that was read changes nothing until it is set again. A
    tuple or set comes back as a list; a date, UUID, Decimal, enum or dataclass as the plain data
    that msgpack makes of it. Reading where nothing was ever written does not create the database.

    Writes belong to the current step like those of `sql`. Every method that writes changes all it
    was asked to, or nothing. A key or value that cannot be kept is `NotStorable`, one over the
    limit `ValueTooLarge`. What reads many keys at once (`list`, `get_many`, iteration) is under the
    limits of a statement: `TooManyRows`, `ResultTooLarge`.
    """

    __slots__ = ("_database", "_ready")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ready = False

    def forget(self) -> None:
        """Look again whether the table is there: the step that made it was rolled back."""
        self._ready = False

    def __getitem__(self, key: str) -> Any:
        rows = self._read(_SELECT, (_key(key),))
        if not rows:
            raise KeyError(key)
        return _decode(rows[0][0])

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        if not self.delete_many((key,)):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str) or not _is_unicode(key):
            return False
        return bool(self._read("select 1 from _facets_kv where key = ?", (key,)))

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
        """Pairs whose key begins with `prefix`, from `start` to before `end`, in order.

        At most `limit` of them, the last ones first if `reverse`.
        """
        if limit is not None and limit < 0:
            raise ValueError(f"limit is a number of pairs, not {limit}")
        low = max(_key(prefix), _key(start or ""))
        conditions, values = ["key >= ?"], [low]
        for bound in (None if end is None else _key(end), _after(prefix)):
            if bound is not None:
                conditions.append("key < ?")
                values.append(bound)
        query = f"select key, value from _facets_kv where {' and '.join(conditions)} order by key"  # noqa: S608
        query += " desc" if reverse else ""
        rows = self._read(query + " limit ?", (*values, -1 if limit is None else limit))
        return builtins.list(self._decoded(rows))

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values of those keys that are there."""
        found = ((key, self._read(_SELECT, (_key(key),))) for key in dict.fromkeys(keys))
        return dict(self._decoded((key, rows[0][0]) for key, rows in found if rows))

    def _decoded(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, Any]]:
        """Keys and values, which together take no more memory than rows may."""
        limit = room = self._database.limits.result
        for key, raw in rows:
            value = _decode(raw)
            room -= len(raw) + _CONTAINER * _containers(raw, value, room // _CONTAINER)
            if room < 0:
                raise ResultTooLarge(f"the values take more than {limit} bytes", limit=limit)
            yield key, value

    def update(self, values: Any = (), /, **named: Any) -> None:
        """Set several keys; all of them can be kept, or none is changed."""
        pairs = dict(values, **named) if not isinstance(values, Mapping) else {**values, **named}
        rows = [(_key(key), _value(key, value)) for key, value in pairs.items()]
        if not rows:
            return
        self._write()
        # One that is too large is found only when it is written, after the ones before it.
        with self._database.transaction() if len(rows) > 1 else nullcontext():
            for row in rows:
                self._database.run_own("insert or replace into _facets_kv values (?, ?)", row)

    def delete_many(self, keys: Iterable[str]) -> int:
        """Delete those keys that are there; how many were."""
        return sum([len(self._read(_DELETE, (key,))) for key in [_key(key) for key in keys]])

    def clear(self) -> None:
        """Delete every key."""
        self._read("delete from _facets_kv", ())

    def view(self, prefix: str, mode: Literal["r", "rw"] = "r") -> KvView:
        """The keys that begin with `prefix`, to be handed to others: see `KvView`."""
        from storage.views.kv import KvView

        return KvView(self._database, _key(prefix), mode)

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


def _containers(raw: bytes, value: Any, most: int) -> int:
    """How many lists and dicts there are in a value, counted if they may matter, up to `most`."""
    possible = len(raw) - len(raw.translate(None, _MARKS))
    if possible <= _FEW:
        return possible
    found, waiting = 0, [value]
    while waiting and found <= most:
        one = waiting.pop()
        if type(one) is dict:
            one = [*one.values()]
        if type(one) is list:
            found += 1
            waiting += [x for x in one if type(x) is list or type(x) is dict]
    return found


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise NotStorable(f"a key is text, not {type(key).__name__}", key=repr(key)[:100])
    if not _is_unicode(key):
        raise NotStorable(f"the key {key!r} is not valid Unicode", key=repr(key)[:100])
    return key


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _after(prefix: str) -> str | None:
    """The first key behind all that begin with `prefix`, or None when there is no such key."""
    for at in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[at])
        if code < _LAST:  # else the one before has to grow
            return prefix[:at] + chr(0xE000 if code == 0xD7FF else code + 1)
    return None


def _value(key: str, value: Any) -> bytes:
    try:
        return _encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise NotStorable(
            f"kv[{key!r}] cannot be kept: {error}",
            hint="keep plain data: numbers, text, bytes, lists, dicts",
            key=key,
        ) from error
