"""One actor's durable state: a private database, and the journal that makes it survive.

store        a state directory: everything below, wired
database     the logical database of one actor: steps, savepoints, opening and closing
databases    those in memory, by place         connections how many are open
commits      SQLite's commits as records       delete      a subtree that ends
move         a subtree at another place        past        a subtree as it was
diff         of two subtrees                   relations   and of two files
sql, kv      what actors see of it             rows        results
files/       a file system in the database     objects/    stores for what is large
connection   one open SQLite connection        authorizer  what actors may do in SQL
frames       pages of a commit, from the -wal  pages       what is in a page
refusals     SQLite's errors as ours           migrations  schema changes, once
record       one commit as bytes               segment     a file of records
journal      the queue and the sync            recovery    after a crash
checkpoint   pages into files                  chronicler  tells history before they go
history/     older states                      restore     a tree as it was
snapshot     files as of one moment            graft       new files in place, in one record
clone        a subtree again                   archive     a subtree as one file
retrieval    a subtree out of a replica        reading     files at rest
spilled      large contents, and what may go   sweep       and how that is found
compact      a smaller file                    replica/    commits beyond the disk
endings      what a record put an end to       succession  what history hears of that
imaging      databases, for the replica        leftovers   files that a crash left
catalogue    which actors there are            template    what new files begin with
format       whose directory it is             layout      where things are
lock         one owner                         limits      what may be held
disk         every system call on files        doctor/     examine and repair
testing/     disks and stores that fail        errors      one tree
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storage.database import Database as Database
    from storage.files import Files as Files
    from storage.kv import Kv as Kv
    from storage.limits import FileLimits as FileLimits
    from storage.limits import HistoryLimits as HistoryLimits
    from storage.limits import JournalLimits as JournalLimits
    from storage.limits import StorageLimits as StorageLimits
    from storage.rows import Row as Row
    from storage.rows import Rows as Rows
    from storage.sql import Sql as Sql
    from storage.store import Store as Store

__all__ = [
    "Database",
    "FileLimits",
    "Files",
    "HistoryLimits",
    "JournalLimits",
    "Kv",
    "Row",
    "Rows",
    "Sql",
    "StorageLimits",
    "Store",
]
_HOME = {
    "Database": "database", "FileLimits": "limits", "Files": "files", "HistoryLimits": "limits",
    "JournalLimits": "limits", "Kv": "kv", "Row": "rows", "Rows": "rows", "Sql": "sql",
    "StorageLimits": "limits", "Store": "store",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import what is asked for: whoever needs an error or a limit need not load the journal."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'storage' has no attribute {name!r}")
    return getattr(import_module(f"storage.{home}"), name)
