"""How much a subtree takes, without waking it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.database import Database
    from storage.store import Store


def shape(store: Store, database: Database) -> object:
    """What differs if something of the tree was deleted or put in place since: then the sums
    have to be taken again."""
    database.look()
    return database.uid, store.commits.reshaped[database.tree]


def sizes(store: Store, database: Database) -> tuple[int, int]:
    """Bytes of a database and all below it, and how many there are, as of the newest commits.

    Some microseconds for each."""
    database.look()
    if database.uid is None or not database.row:
        return 0, 0
    files = [row for row in store.catalogue.subtree(database.uid) if row.file]
    total = 0
    for row in files:
        found = store.databases.live.get(row.uid)
        if found is not None:
            total += found.size()
        else:
            path = store.layout.path(row.uid, row.generation)
            total += path.stat().st_size if path.exists() else 0
    return total, len(files)
