"""Checkpoints of one thread of a graph, as rows: what `FacetSaver` keeps in an actor.

A checkpoint says which version each channel has; the value of a version is stored once, however
many checkpoints have it. Of a long list, a conversation, each element is stored once, and each
version is the list of their numbers: a conversation of n messages takes n messages and n short
rows, and not n conversations.

All that is dropped goes in the commit that drops it, with the values, elements and writes that
nothing leads to any more. A checkpoint that has channels of differences keeps its ancestors back to
where each of those channels has a value.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, LiteralString, NamedTuple

import msgspec

from actors.actor import Actor

EMPTY = "empty"
"""The kind of a value that a channel does not have at that version."""
PARTS = "facets-parts"
"""The kind of a value that is a list whose elements are stored by themselves."""
_IGNORE: LiteralString = "insert or ignore into writes values (?, ?, ?, ?, ?, ?, ?, ?)"
_REPLACE: LiteralString = "insert or replace into writes values (?, ?, ?, ?, ?, ?, ?, ?)"


class Packed(NamedTuple):
    """A value as the serializer made it."""

    kind: str
    data: bytes


class Value(NamedTuple):
    """A version of a channel: whole, or the elements of a list."""

    channel: str
    version: str | int | float
    whole: Packed | None
    parts: tuple[Packed, ...] = ()


class Checkpoint(NamedTuple):
    """A checkpoint without its values."""

    ns: str
    id: str
    parent: str | None
    body: Packed
    metadata: Packed
    versions: dict[str, str | int | float]
    run: str | None
    deltas: tuple[str, ...]
    """Channels whose value may be in the writes of ancestors."""


class Write(NamedTuple):
    """What a task wrote after a checkpoint."""

    task: str
    number: int
    """Its place among the writes of the task; negative for a special channel."""
    channel: str
    value: Packed
    path: str


class Found(NamedTuple):
    """A checkpoint with all that belongs to it."""

    checkpoint: Checkpoint
    values: list[Value]
    writes: list[Write]


class Checkpoints(Actor, kind="langgraph-thread"):
    """The checkpoints of one thread."""

    migrations = [
        "create table checkpoints(ns text not null, id text not null, parent text, kind text,"
        " body blob, metadata_kind text, metadata blob, versions text, run text, deltas text,"
        " primary key (ns, id)) without rowid",
        "create table vals(ns text not null, channel text not null, version not null, kind text,"
        " data blob, primary key (ns, channel, version)) without rowid",
        "create table parts(id integer primary key, hash text not null unique, kind text,"
        " data blob)",
        "create table writes(ns text not null, checkpoint text not null, task text not null,"
        " i integer not null, channel text, kind text, data blob, path text,"
        " primary key (ns, checkpoint, task, i)) without rowid",
    ]

    async def put(self, new: Checkpoint, values: list[Value], keep: int | None) -> None:
        """Store it with the values that are new, and drop what is older than `keep` others."""
        self.sql(
            "insert or replace into checkpoints values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            new.ns, new.id, new.parent, *new.body, *new.metadata, _json(new.versions), new.run,
            _json(new.deltas),
        )  # fmt: skip
        for one in values:
            kind, data = one.whole or Packed(PARTS, self._split(one.parts))
            self.sql(
                "insert or replace into vals values (?, ?, ?, ?, ?)",
                new.ns, one.channel, one.version, kind, data,
            )  # fmt: skip
        if keep is not None and new.ns == "":
            self._retain(keep)

    async def write(self, ns: str, checkpoint: str, writes: list[Write]) -> None:
        """Store what a task wrote. A write that is there stays, one of a special channel is
        replaced."""
        for one in writes:
            again = _REPLACE if one.number < 0 else _IGNORE
            self.sql(again, ns, checkpoint, one.task, one.number, one.channel, *one.value, one.path)

    async def find(self, ns: str, id: str | None) -> Found | None:
        """That checkpoint, or the newest."""
        row = self.sql(
            "select * from checkpoints where ns = ? and (?2 is null or id = ?2)"
            " order by id desc limit 1",
            ns,
            id,
        ).first()
        return None if row is None else self._found(_checkpoint(row))

    async def page(
        self, ns: str | None, id: str | None, before: str | None, skip: int, most: int
    ) -> list[Checkpoint]:
        """Those that fit, the newest first, without values and writes."""
        rows = self.sql(
            "select * from checkpoints where (?1 is null or ns = ?1) and (?2 is null or id = ?2)"
            " and (?3 is null or id < ?3) order by id desc, ns limit ?4 offset ?5",
            ns, id, before, most, skip,
        )  # fmt: skip
        return [_checkpoint(row) for row in rows]

    async def drop(self, runs: list[str]) -> None:
        """Drop the checkpoints of these runs."""
        self._drop(self.sql("select ns, id from checkpoints where run in (select value from"
                            " json_each(?))", _json(runs)))  # fmt: skip

    async def prune(self) -> None:
        """Drop all but the newest of each namespace."""
        self._keep(
            self.sql("select ns, max(id) from checkpoints group by ns"),
            self.sql("select ns, id from checkpoints"),
        )

    # -- what goes when -------------------------------------------------------------------------

    def _retain(self, keep: int) -> None:
        """Drop what is older than the newest `keep` of the graph itself, in batches: looking for
        what nothing leads to costs as much for one as for many."""
        newest = [row.id for row in self.sql("select id from checkpoints where ns = '' order by"
                                             " id desc limit ?", keep + keep // 4 + 1)]  # fmt: skip
        if len(newest) <= keep + keep // 4:
            return
        oldest = newest[keep - 1]
        # The namespace of a subgraph that has a colon is that of one call; any other one goes on,
        # and its newest checkpoint is its state.
        self._keep(
            self.sql(
                "select ns, id from checkpoints where id >= ?1 union"
                " select ns, max(id) from checkpoints where not instr(ns, ':') group by ns",
                oldest,
            ),
            self.sql("select ns, id from checkpoints where id < ?", oldest),
        )

    def _keep(self, kept: Iterable[Any], old: Iterable[Any]) -> None:
        """Drop the old ones that are not kept, nor needed by one that is."""
        safe = {(ns, id) for ns, id in kept}
        for one in list(safe):
            safe.update(self._needed(*one))
        self._drop(one for one in map(tuple, old) if one not in safe)

    def _needed(self, ns: str, id: str) -> set[tuple[str, str]]:
        """The ancestors back to where each channel of differences has a value."""
        found: set[tuple[str, str]] = set()
        row = self.sql("select * from checkpoints where ns = ? and id = ?", ns, id).one()
        missing = set(_checkpoint(row).deltas)
        while True:
            one = _checkpoint(row)
            has = {value.channel for value in self._values(one) if value.whole != (EMPTY, b"")}
            missing -= has
            if not missing or one.parent is None:
                return found
            parent = self.sql("select * from checkpoints where ns = ? and id = ?", ns, one.parent)
            if not parent:
                return found
            row = parent.one()
            found.add((ns, row.id))

    def _drop(self, these: Iterable[Any]) -> None:
        gone = [tuple(one) for one in these]
        if not gone:
            return
        self.sql.many("delete from checkpoints where ns = ? and id = ?", gone)
        self.sql.many("delete from writes where ns = ? and checkpoint = ?", gone)
        self.sql(
            "delete from vals where (ns, channel, version) not in"
            " (select c.ns, v.key, v.value from checkpoints c, json_each(c.versions) v)"
        )
        self.sql(
            "delete from parts where id not in"
            " (select p.value from vals v, json_each(cast(v.data as text)) p where v.kind = ?)",
            PARTS,
        )

    # -- values ---------------------------------------------------------------------------------

    def _split(self, parts: tuple[Packed, ...]) -> bytes:
        """The numbers of these elements, stored if they are new."""
        hashes = [_hash(one) for one in parts]
        self.sql.many(
            "insert or ignore into parts(hash, kind, data) values (?, ?, ?)",
            [(hash, *one) for hash, one in zip(hashes, parts, strict=True)],
        )
        rows = self.sql(
            "select p.id from json_each(?) j join parts p on p.hash = j.value order by j.key",
            _json(hashes),
        )
        return msgspec.json.encode([row.id for row in rows])

    def _found(self, one: Checkpoint) -> Found:
        writes = self.sql(
            "select task, i, channel, kind, data, path from writes where ns = ? and checkpoint = ?"
            " order by path, task, i",
            one.ns,
            one.id,
        )
        return Found(
            one,
            self._values(one),
            [Write(task, i, channel, Packed(kind, data), path)
             for task, i, channel, kind, data, path in writes],
        )  # fmt: skip

    def _values(self, one: Checkpoint) -> list[Value]:
        rows = self.sql(
            "select v.channel, v.version, v.kind, v.data from json_each(?) j join vals v"
            " on v.ns = ? and v.channel = j.key and v.version = j.value",
            _json(one.versions),
            one.ns,
        )
        return [self._value(*row) for row in rows]

    def _value(self, channel: str, version: str | int | float, kind: str, data: bytes) -> Value:
        if kind != PARTS:
            return Value(channel, version, Packed(kind, data))
        rows = self.sql(
            "select p.kind, p.data from json_each(?) j join parts p on p.id = j.value"
            " order by j.key",
            data.decode(),
        )
        return Value(channel, version, None, tuple(Packed(*row) for row in rows))


def _checkpoint(row: Any) -> Checkpoint:
    return Checkpoint(
        row.ns, row.id, row.parent, Packed(row.kind, row.body),
        Packed(row.metadata_kind, row.metadata), msgspec.json.decode(row.versions), row.run,
        tuple(msgspec.json.decode(row.deltas)),
    )  # fmt: skip


def _hash(one: Packed) -> str:
    return blake2b(one.kind.encode() + b"\0" + one.data, digest_size=16).hexdigest()


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
