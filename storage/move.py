"""Moves: an actor and all below it stand somewhere else from now on.

One row of the catalogue changes, whatever is below. Uids, files and pasts stay what they are: the
history goes on where it began (see `storage.catalogue`), so that a bookmark from before leads back.
What is restored to one gets the places of then, but for the top of it, which keeps its own; what
has left the subtree since stays where it is, and comes back as a copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage import record
from storage.databases import ancestry, uid_above
from storage.errors import BelowItself, NameTaken, NoState, StorageError
from storage.succession import began, replaced, stories

if TYPE_CHECKING:
    from storage.catalogue import Row
    from storage.database import Database
    from storage.store import Store


def move(store: Store, database: Database, above: Database | None, kind: str, name: str) -> int:
    """Put a database and all below it below `above`, or among the roots; the record's sequence.

    `NoState` if it was never written, `NameTaken` if there is somebody, `BelowItself`.
    """
    target = check_move(store, database, above, kind, name)
    # Not all below it that are in memory, which may be many: only few have a step open.
    if any(one is database for busy in store.connections.busy() for one in ancestry(busy)):
        raise StorageError(
            f"{database.name!r} cannot be moved while a step of it, or below it, is open"
        )
    row = store.catalogue.row(database.take_uid())
    home, told = database.tree, stories(store, [row])
    added: list[Database] = []
    try:
        store.commits.add_above(target, added)
        moved = row._replace(parent=uid_above(target), kind=kind, name=name)
        store.catalogue.place(moved.uid, *moved.place)
        _settle_home(store, moved, home, above)
        entries = [one.row_entry(record.ROW) for one in added]
        sequence = store.commits.keep_rows(
            [*entries, row.entry(record.MOVE, home)], database, target
        )
    except BaseException:
        store.catalogue.undo()
        for one in added:
            one.row = False
        raise
    # From here on nothing may fail: the record cannot be taken back.
    began(store, added, sequence)
    store.postpone(row)
    replaced(store, sequence, told, [moved], {row.uid: home})
    for one in target.family():
        one.yield_place()
    store.databases.move(database, above, kind, name)
    database.sequence = sequence
    return sequence


def check_move(
    store: Store, database: Database, above: Database | None, kind: str, name: str
) -> Database:
    """Who stands in the place, which is nobody with state; the errors of `move` otherwise."""
    database.look()
    if not database.row:
        raise NoState(f"{database.name!r} has no state", name=database.name)
    if above is not None and any(one is database for one in ancestry(above)):
        raise BelowItself(f"{database.name!r} cannot be below itself", name=database.name)
    target = store.root(kind, name) if above is None else above.child(name)
    target.look()
    if target.row or any(one.in_step for one in target.family()):
        raise NameTaken(f"there is a {name!r} already", name=name)
    return target


def _settle_home(store: Store, row: Row, home: int, above: Database | None) -> None:
    """Its past stays where it is, and who looks for that of its new place finds it."""
    place = row.uid if above is None else above.tree
    store.catalogue.set_home(row.uid, 0 if place == home else home)
    if above is not None and place != home:
        store.catalogue.link(place, home)
