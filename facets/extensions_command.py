"""`facets extensions`: what extends an actor of a state directory, and what may it do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from facets.errors import FacetsError

if TYPE_CHECKING:
    from facets.extensions.proposal import Proposal
    from facets.extensions.records import Event
    from storage.database import Database


def extensions(
    directory: Annotated[str, typer.Argument(help="The state directory.")],
    kind: Annotated[str, typer.Argument(help="Kind of the actor: the name of its class.")],
    name: Annotated[str, typer.Argument(help="Name of the actor.")],
    extension: Annotated[str, typer.Argument(help="One of them, with all that is known.")] = "",
) -> None:
    """List the versions of an actor's extensions; of one, what each may do and what happened.

    Reads only: to approve one or to go back is for the actor, which has the capabilities to lend.
    """
    from storage import Store

    store = Store.open(directory)
    try:
        database = store.root(kind, name)
        database.look()
        found = _versions(database)
        if extension:
            found = [one for one in found if one.name == extension]
        if not found:
            raise FacetsError(f"{kind} {name!r} has no extension {extension}".rstrip())
        for line in _told(database, extension, found) if extension else map(_line, found):
            print(line)  # noqa: T201 - the output asked for
    finally:
        store.close()


def _versions(database: Database) -> list[Proposal]:
    from facets.extensions.records import proposals_of

    return proposals_of(database) if database.has_file else []


def _line(one: Proposal) -> str:
    signer = f"  signed by {one.signer}" if one.signer else ""
    return f"{one.name} {one.version}  {one.state}  {one.hash[:12]}{signer}"


def _told(database: Database, extension: str, found: list[Proposal]) -> Iterator[str]:
    from facets.extensions.records import events_of

    for one in found:
        yield _line(one)
        yield from [f"  {change}" for change in one.changes]
        yield from [f"  problem: {problem}" for problem in one.problems]
    yield from map(_event, events_of(database, extension))


def _event(one: Event) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(one.at))
    return f"{at}  {one.version}  {one.what}{': ' if one.detail else ''}{one.detail}"
