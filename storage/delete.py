"""Deletes: an actor and all below it, wiped in one record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage import record
from storage.errors import StorageError
from storage.meters import forget
from storage.succession import homes_of, over, replaced, stories

if TYPE_CHECKING:
    from storage.database import Database
    from storage.store import Store


def delete(store: Store, database: Database) -> int:
    """Wipe a database and all below it, as one record; its sequence.

    Who is copying it goes on: the files stay as long as they are held."""
    database.look()
    living = list(database.family())
    if any(one.in_step or one.deferred for one in living):
        raise StorageError(
            f"{database.name!r} cannot be deleted while a step of it, or below it, is open"
        )
    if not database.row:
        for one in living:
            one.forget()
        return database.sequence
    rows = store.catalogue.subtree(database.take_uid())
    told, homes = stories(store, rows), homes_of(store, rows)
    living = list(database.family())  # again: telling of them has brought some to life
    for one in living:
        one.close()
    try:
        store.catalogue.remove([row.uid for row in rows])
        forget(store.catalogue, [row.uid for row in rows])
        forgotten = [] if database.parent is not None else over(store, homes.values())
        entries = [row.entry(record.DELETE, homes[row.uid]) for row in rows]
        entries += map(record.forget, forgotten)
        sequence = store.commits.keep_rows(entries, database)
    except BaseException:
        store.catalogue.undo()
        raise
    replaced(store, sequence, told, (), homes, forgotten)
    for one in living:
        one.forget()
    database.sequence = sequence
    store.on_graft(dict.fromkeys([row.uid for row in rows]))
    return sequence
