"""How much an actor or a subtree takes, without waking it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.catalogue import Row
    from storage.database import Database
    from storage.store import Store

_TABLES = """
select name from pragma_table_list where schema = 'main' and type in ('table', 'virtual')
and name not glob 'sqlite_*' order by name
"""

_COUNT = "select count(*) from {}"


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
    return sum(_size(store, row) for row in files), len(files)


def _size(store: Store, row: Row) -> int:
    found = store.databases.live.get(row.uid)
    if found is not None:
        return found.size()
    try:
        return store.layout.path(row.uid, row.generation).stat().st_size
    except FileNotFoundError:
        return 0


def subtree_sizes(store: Store, database: Database) -> Iterator[tuple[tuple[str, ...], int]]:
    """The names that lead to each actor with state, and the bytes of its own database."""
    from storage.catalogue import paths

    database.look()
    if database.uid is None or not database.row:
        return
    rows = store.catalogue.subtree(database.uid)
    names = paths(rows)
    for row in rows:
        yield names[row.uid], _size(store, row) if row.file else 0


def newest(database: Database) -> float | None:
    """When it was written last, in seconds since 1970: its newest commit, or the time of the file
    if that has all of them; None if never."""
    database.look()
    if database.marks:
        return database.marks[-1].time / 1e6
    path = database.path
    return path.stat().st_mtime if database.born and path is not None and path.exists() else None


def row_counts(database: Database) -> dict[str, int]:
    """Rows of each table, without what SQLite keeps for itself. Reads all of them."""
    database.look()
    if not database.born:
        return {}
    ask = database.run_own if database.in_step else database.peek
    return {name: ask(_COUNT.format(_quoted(name)))[0][0] for (name,) in ask(_TABLES)}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
