"""Images of the databases of an open store, for its replica, on a thread of the replica's own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from storage.replica.snapshot import Image
from storage.snapshot import Cut, cut, read

if TYPE_CHECKING:
    from storage.database import Database
    from storage.store import Store


def image(store: Store, uid: int) -> Image:
    """A database as of now. Blocks; `Store.call` must reach the store's thread."""
    held = store.call(partial(_hold, store, uid))
    if held is None:
        return Image(1, store.committed, None)
    database, one, generation, sequence = held
    try:
        return Image(generation, sequence, read(store.disk, one))
    finally:
        store.call(partial(_let_go, database))


def _hold(store: Store, uid: int) -> tuple[Database, Cut, int, int] | None:
    try:
        row = store.catalogue.row(uid) if uid else None
    except LookupError:
        return None
    database = store.catalogue.database if row is None else store.databases.at(row)
    if row is not None and not row.file:
        return None
    one = cut(database)
    database.held += 1
    # Its generation now: while it is held it may be deleted, and know nothing any more.
    return database, one, database.generation, store.committed


def _let_go(database: Database) -> None:
    database.held -= 1
