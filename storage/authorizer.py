"""What actors may do in SQL.

SQLite asks once for each action while it prepares a statement. The runtime's own
statements are prepared with a flag of their own, so apsw's statement cache never hands
one of them to an actor (the flag is part of the cache key).

Transactions and savepoints belong to the step; ATTACH would reach other databases (VACUUM
attaches inside, so it falls with it); temporary tables would vanish whenever the runtime
closes an idle connection; and PRAGMAs and virtual tables are allowed only when their name is
known to be harmless.

SQLite does not tell an authorizer everything. It names neither the new name in ALTER TABLE, nor
the parent in REFERENCES, nor what a trigger, a view or the options of a virtual table will reach
for later. A renamed table could pose as a reserved one, with triggers that would run inside
the runtime's own statements. An identifier has no escapes but its own quote doubled, so one
that begins with `_facets_` stands in the text as it is: text that changes the schema may not
hold it. And nothing that a trigger or view of an actor does is ever done as the runtime.
"""

from __future__ import annotations

import re
from functools import lru_cache

import apsw

RESERVED = "_facets_"
"""Tables and indexes that begin with this belong to the runtime."""
_BEGINS_RESERVED = re.compile(r"(?<![0-9a-z_$\x80-\ufefe\uff00-\U0010ffff])_facets", re.IGNORECASE)
"""A name that begins so. Without the last `_`: a virtual table `_facets` would have shadow
tables with reserved names. U+FEFF is white space to SQLite."""

PRAGMAS = frozenset({
    "application_id", "collation_list", "compile_options", "data_version", "encoding",
    "foreign_key_check", "foreign_key_list", "freelist_count", "function_list", "index_info",
    "index_list", "index_xinfo", "integrity_check", "module_list", "optimize", "page_count",
    "page_size", "quick_check", "table_info", "table_list", "table_xinfo",
})  # fmt: skip
MODULES = frozenset({
    "fts3", "fts4", "fts4aux", "fts5", "fts5vocab", "geopoly", "rtree", "rtree_i32",
})  # fmt: skip
"""Virtual tables that keep all they have in ordinary tables of the same database."""
SETTABLE = frozenset({"defer_foreign_keys"})
"""PRAGMAs that may also be given a value: they last one transaction."""

_TEMPORARY = "temporary objects do not survive an idle connection"
_TEMPORARY_SCHEMA = frozenset({"sqlite_temp_master", "sqlite_temp_schema"})
_DENIED = {
    apsw.SQLITE_ATTACH: "ATTACH and VACUUM reach outside this actor's database",
    apsw.SQLITE_DETACH: "DETACH reaches outside this actor's database",
    apsw.SQLITE_TRANSACTION: "a step is one transaction already; use `with self.transaction():`",
    apsw.SQLITE_SAVEPOINT: "use `with self.transaction():` in place of savepoints",
    apsw.SQLITE_CREATE_TEMP_TABLE: _TEMPORARY,
    apsw.SQLITE_CREATE_TEMP_INDEX: _TEMPORARY,
    apsw.SQLITE_CREATE_TEMP_VIEW: _TEMPORARY,
    apsw.SQLITE_CREATE_TEMP_TRIGGER: _TEMPORARY,
}
_FUNCTIONS = frozenset({
    "edit", "fts3_tokenizer", "load_extension", "readfile", "sqlite_log", "writefile",
})  # fmt: skip
_RAW = frozenset({
    "bytecode", "dbstat", "sqlite_dbpage", "sqlite_dbptr", "sqlite_stmt", "tables_used",
})  # fmt: skip
"""Tables that are always there and show pages, or statements of the runtime."""
_CREATES = frozenset({
    apsw.SQLITE_CREATE_INDEX, apsw.SQLITE_CREATE_TABLE, apsw.SQLITE_CREATE_TRIGGER,
    apsw.SQLITE_CREATE_VIEW, apsw.SQLITE_CREATE_VTABLE, apsw.SQLITE_ALTER_TABLE,
})  # fmt: skip
_WRITES = frozenset({apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE})
_NAMES_TABLE = _CREATES | _WRITES | {
    apsw.SQLITE_DROP_TABLE, apsw.SQLITE_DROP_INDEX, apsw.SQLITE_DROP_TRIGGER,
    apsw.SQLITE_DROP_VIEW, apsw.SQLITE_DROP_VTABLE, apsw.SQLITE_READ,
}  # fmt: skip


def why_denied(
    action: int, first: str | None, second: str | None, database: str | None, text: str
) -> str | None:
    """Why an actor may not do this in the SQL `text`, or None when it may."""
    if action in _DENIED:
        return _DENIED[action]
    if action == apsw.SQLITE_PRAGMA:
        return _pragma((first or "").lower(), second)
    if action == apsw.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
        return f"{second}() reaches outside this actor's database"
    if action not in _NAMES_TABLE:
        return None
    if action in _CREATES:
        reason = _creates(action, second, database, text)
    elif action == apsw.SQLITE_INSERT and first in _TEMPORARY_SCHEMA:
        reason = _TEMPORARY  # all that is said of `create trigger temp.x`
    else:
        reason = _shows_raw(first)
    return reason or _reserved(first) or _reserved(second if action != apsw.SQLITE_READ else None)


def why_own_denied(action: int, trigger: str | None) -> str | None:
    """Why a statement of the runtime's own may not do this, or None when it may."""
    if trigger is not None and action in _WRITES and not _reserved(trigger):
        return f"the trigger {trigger} would write in the runtime's name"
    return None


def _pragma(name: str, argument: str | None) -> str | None:
    if name in SETTABLE or (name in PRAGMAS and _reads(name, argument)):
        return None
    return f"PRAGMA {name} belongs to the runtime"


def _reads(name: str, argument: str | None) -> bool:
    takes_argument = name.startswith(("index_", "table_", "foreign_key_", "integrity", "quick"))
    return argument is None or takes_argument or name == "optimize"


def _creates(action: int, second: str | None, database: str | None, text: str) -> str | None:
    if (database or "").lower() == "temp":
        return _TEMPORARY
    if action == apsw.SQLITE_CREATE_VTABLE and (second or "").lower() not in MODULES:
        return f"virtual tables of module {second} are not for actors"
    if _has_reserved(text):
        return "_facets begins reserved names, and may not in SQL that changes the schema"
    return None


@lru_cache(maxsize=8)
def _has_reserved(text: str) -> bool:
    """Asked for each thing that a text creates, where the text may create dozens."""
    return _BEGINS_RESERVED.search(text) is not None


def _shows_raw(name: str | None) -> str | None:
    if name is not None and name.lower() in _RAW:
        return f"{name} shows what belongs to the runtime"
    return None


def _reserved(name: str | None) -> str | None:
    if name is not None and name.lower().startswith(RESERVED):
        return f"names beginning with {RESERVED} are reserved"
    return None
