"""`facets diff`: what differs between two actors, or two moments of one, of a state directory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from storage import Store
    from storage.database import Database
    from storage.diff import Difference
    from storage.history import Bookmark

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
Directory = Annotated[str, typer.Argument(help="The state directory.")]
Kind = Annotated[str, typer.Argument(help="Kind of the actor: the name of its class.")]
Name = Annotated[str, typer.Argument(help="Name of the actor.")]


def diff(
    directory: Directory,
    kind: Kind,
    name: Name,
    other: Annotated[str, typer.Argument(help="Another actor of that kind; itself if none.")] = "",
    at: Annotated[str, typer.Option(help="The first as of this bookmark.")] = "",
    to: Annotated[str, typer.Option(help="The second as of this bookmark.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Tell what differs in an actor and its facets, and in another one, or since a bookmark.

    The exit code is 0 if nothing does, 1 otherwise.
    """
    from storage import Store

    if not other and not at and not to:
        raise typer.BadParameter("another actor is needed, or a bookmark", param_hint="--at")
    store = Store.open(directory)
    try:
        first, second = store.root(kind, name), store.root(kind, other or name)
        some = False
        for one in _differences(store, (first, _moment(at)), (second, _moment(to))):
            some = True
            print(_as_json(one) if as_json else _line(one))  # noqa: T201 - the output asked for
    finally:
        store.close()
    raise typer.Exit(int(some))


def _moment(bookmark: str) -> Bookmark | None:
    from storage.history import Bookmark

    return Bookmark.parse(bookmark) if bookmark else None


def _differences(
    store: Store, old: tuple[Database, Bookmark | None], new: tuple[Database, Bookmark | None]
) -> Iterator[Difference]:
    from storage.diff import Diff

    job = Diff(store, old, new)
    try:
        job.work()
        while found := job.next():
            yield from found
    finally:
        job.close()


def _as_json(one: Difference) -> str:
    return json.dumps({"change": one.change} | asdict(one), default=_plain)


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else repr(value)


def _line(one: Difference) -> str:
    where = "/".join(one.actor) or "."
    what = " ".join([one.kind, *([one.table] if one.table else []), *map(repr, one.key)])
    return f"{_SIGNS[one.change]} {where}: {what}{_values(one)}"


def _values(one: Difference) -> str:
    old, new = one.old or {}, one.new or {}
    if one.change == "changed":
        names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        return "".join(f" {name}: {old.get(name)!r} -> {new.get(name)!r}" for name in names)
    return "".join(f" {name}={value!r}" for name, value in (old or new).items())
