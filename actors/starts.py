"""What a facet was started with, kept for when it must wake and its parent does not say.

Only with timers: who has none wakes by a call, and whoever calls has said what to start. Kept are
the facet's own start and those of the facets above it, in its own database, each by the uid of its
actor, so that what was moved or cloned never runs with the start of another; its own by 0. So in a
clone a facet that has no timers itself, and one below it has, is its parent's to name.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec

from actors.actor import Actor
from actors.code import ClassCode, Start

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.activation import Activation
    from storage import Database

OWN = 0
_TABLE = """
create table if not exists _facets_starts(
    uid integer primary key, code text not null, id text, props blob)
"""
Kept = tuple[int, str, "str | None", "bytes | None"]


def keep_starts(activation: Activation) -> None:
    """Keep what is running, in the current step; nothing happens if it is kept already."""
    schedule, node = activation.database.schedule, activation.node
    if schedule.kept_for is activation.start or node.parent is None:
        return
    database = activation.database
    wanted = _running(activation)
    database.run_own(_TABLE)
    known = [tuple(row) for row in database.run_own("select * from _facets_starts order by uid")]
    if known != wanted:
        database.run_own("delete from _facets_starts")
        for row in wanted:
            database.run_own("insert into _facets_starts values (?, ?, ?, ?)", row)
    schedule.kept_for = activation.start


def _running(activation: Activation) -> list[Kept]:
    """What this facet and those above it run, as it is kept."""
    found = [_kept(OWN, activation.start)]
    above = activation.node.parent
    while above is not None and above.parent is not None:
        if above.activation is not None:
            found.append(_kept(above.database.take_uid(), above.activation.start))
        above = above.parent
    return sorted(one for one in found if one is not None)


def _kept(uid: int, start: Start) -> Kept | None:
    """None for what cannot be found again: an isolate's class, a class inside a function, props
    that would come back as something else."""
    code = start.code
    if not isinstance(code, ClassCode) or "<locals>" in code.label:
        return None
    if start != Start(code, start.id, start.props):
        return None  # it was given more, such as a quota, that it must not run without
    props: bytes | None = None
    if start.props is not None:
        try:
            props = msgspec.msgpack.encode(start.props)
        except (TypeError, ValueError, OverflowError, RecursionError):
            return None
        if msgspec.msgpack.decode(props) != start.props:
            return None
    return uid, f"{code.cls.__module__}:{code.cls.__qualname__}", start.id, props


def kept_starts(database: Database) -> dict[int, Kept]:
    """What is kept, by uid; read in the current step."""
    there = database.run_own("select 1 from sqlite_schema where name = '_facets_starts'")
    rows = database.run_own("select * from _facets_starts") if there else []
    return {row[0]: tuple(row) for row in rows}


def found_again(kept: Kept, known: Iterable[type[Actor]]) -> Start | None:
    """The start that was kept; None if its class is not among `known`, imported or importable."""
    _, code, given, props = kept
    module, _, name = code.partition(":")
    mine = (one for one in known if (one.__module__, one.__qualname__) == (module, name))
    cls = next(mine, None) or _imported(module, name)
    if cls is None:
        return None
    return Start(ClassCode(cls), given, None if props is None else msgspec.msgpack.decode(props))


def _imported(module: str, name: str) -> type[Actor] | None:
    found: Any = sys.modules.get(module)
    if found is None:
        try:
            found = import_module(module)
        except ImportError:
            return None
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, Actor) else None
