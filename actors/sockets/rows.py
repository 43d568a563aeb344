"""What an actor keeps of its sockets: one row each, changed in its steps like all it has.

A row names the actor that it was made for: in a clone, or after a rename, it is nobody's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from storage.errors import NotStorable

if TYPE_CHECKING:
    from actors.activation import Activation

_TABLES = (
    "create table if not exists _facets_sockets(id text primary key, server text not null,"
    " owner text not null, who blob not null, query blob not null, attachment blob not null)"
    " without rowid",
    "create table if not exists _facets_socket_tags(tag text, id text, primary key(tag, id))"
    " without rowid",
)
_READY = "select 1 from sqlite_schema where name = '_facets_sockets'"
_ALL = "select id, server from _facets_sockets where owner = ? order by id"
_TAGGED = (
    "select s.id, s.server from _facets_socket_tags t join _facets_sockets s using(id)"
    " where s.owner = ? and t.tag = ? order by s.id"
)


class Row(NamedTuple):
    """One socket, and who holds it."""

    id: str
    server: str


class SocketRows:
    """The rows of one actor."""

    __slots__ = ("_database", "_owner")

    def __init__(self, activation: Activation) -> None:
        self._database = activation.database
        self._owner = activation.node.id

    def add(self, key: str, server: str, who: object, query: dict[str, str]) -> None:
        """A socket is about to open."""
        for table in _TABLES:
            self._database.run_own(table)
        row = (key, server, self._owner, packed(who, "who"), packed(query, "query"), packed(None))
        self._database.run_own("insert into _facets_sockets values (?, ?, ?, ?, ?, ?)", row)

    def remove(self, key: str) -> None:
        """It is no more."""
        self._run("delete from _facets_socket_tags where id = ?", (key,))
        self._run("delete from _facets_sockets where id = ?", (key,))

    def find(self, key: str) -> Row | None:
        """One by its id."""
        rows = self._run(
            "select id, server from _facets_sockets where id = ? and owner = ?", (key, self._owner)
        )
        return Row(*rows[0]) if rows else None

    def all(self, tag: str | None = None) -> list[Row]:
        """All of them, or those with a tag."""
        if tag is None:
            return [Row(*row) for row in self._run(_ALL, (self._owner,))]
        return [Row(*row) for row in self._run(_TAGGED, (self._owner, tag))]

    def get(self, key: str, column: str) -> Any:
        """What is kept in one column; None if the row is gone."""
        rows = self._run(f"select {column} from _facets_sockets where id = ?", (key,))  # noqa: S608 - ours
        return msgspec.msgpack.decode(rows[0][0]) if rows else None

    def attach(self, key: str, value: object) -> None:
        """Keep something with it."""
        row = (packed(value, "the attachment"), key)
        self._run("update _facets_sockets set attachment = ? where id = ?", row)

    def tags(self, key: str) -> list[str]:
        """Its tags, sorted."""
        query = "select tag from _facets_socket_tags where id = ? order by tag"
        return [row[0] for row in self._run(query, (key,))]

    def set_tags(self, key: str, tags: Iterable[str]) -> None:
        """Put these in the place of its tags."""
        self._run("delete from _facets_socket_tags where id = ?", (key,))
        for tag in tags:
            self._run("insert into _facets_socket_tags values (?, ?)", (tag, key))

    def forget_others(self) -> None:
        """Remove rows of other actors, that came here with a copy."""
        self._run("delete from _facets_sockets where owner != ?", (self._owner,))
        self._run(
            "delete from _facets_socket_tags where id not in (select id from _facets_sockets)", ()
        )

    def _run(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        database = self._database
        database.look()
        if not database.has_file or not database.run_own(_READY):
            return []
        return database.run_own(query, values)


def packed(value: object, what: str = "the value") -> bytes:
    """A value as it is kept; `NotStorable` for what is not plain data."""
    try:
        return msgspec.msgpack.encode(value)
    except (TypeError, OverflowError, RecursionError) as error:
        raise NotStorable(f"{what} of a socket is plain data: {error}") from error
