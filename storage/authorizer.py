"""What actors may do in SQL.

SQLite asks once for each action while it prepares a statement. The runtime's own
statements are prepared with a flag of their own, so apsw's statement cache never hands
one of them to an actor (the flag is part of the cache key).

Transactions and savepoints belong to the step; ATTACH would reach other databases (VACUUM
attaches inside, so it falls with it); temporary tables would vanish whenever the runtime
closes an idle connection; and a PRAGMA is allowed only when its name is known to be harmless.
"""

from __future__ import annotations

import apsw

RESERVED = "_facets_"
"""Tables and indexes that begin with this belong to the runtime."""

PRAGMAS = frozenset({
    "application_id", "collation_list", "compile_options", "data_version", "encoding",
    "foreign_key_check", "foreign_key_list", "freelist_count", "function_list", "index_info",
    "index_list", "index_xinfo", "integrity_check", "module_list", "optimize", "page_count",
    "page_size", "quick_check", "table_info", "table_list", "table_xinfo",
})  # fmt: skip
SETTABLE = frozenset({"defer_foreign_keys"})
"""PRAGMAs that may also be given a value: they last one transaction."""

_DENIED = {
    apsw.SQLITE_ATTACH: "ATTACH and VACUUM reach outside this actor's database",
    apsw.SQLITE_DETACH: "DETACH reaches outside this actor's database",
    apsw.SQLITE_TRANSACTION: "a step is one transaction already; use `with self.transaction():`",
    apsw.SQLITE_SAVEPOINT: "use `with self.transaction():` in place of savepoints",
    apsw.SQLITE_CREATE_TEMP_TABLE: "temporary tables do not survive an idle connection",
    apsw.SQLITE_CREATE_TEMP_INDEX: "temporary indexes do not survive an idle connection",
    apsw.SQLITE_CREATE_TEMP_VIEW: "temporary views do not survive an idle connection",
    apsw.SQLITE_CREATE_TEMP_TRIGGER: "temporary triggers do not survive an idle connection",
}
_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "writefile", "readfile", "edit"})
_NAMES_TABLE = frozenset({
    apsw.SQLITE_CREATE_TABLE, apsw.SQLITE_CREATE_INDEX, apsw.SQLITE_CREATE_TRIGGER,
    apsw.SQLITE_CREATE_VIEW, apsw.SQLITE_CREATE_VTABLE, apsw.SQLITE_DROP_TABLE,
    apsw.SQLITE_DROP_INDEX, apsw.SQLITE_DROP_TRIGGER, apsw.SQLITE_DROP_VIEW,
    apsw.SQLITE_DROP_VTABLE, apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE,
    apsw.SQLITE_READ, apsw.SQLITE_ALTER_TABLE,
})  # fmt: skip


def why_denied(action: int, first: str | None, second: str | None) -> str | None:
    """Why an actor may not do this, or None when it may."""
    if action in _DENIED:
        return _DENIED[action]
    if action == apsw.SQLITE_PRAGMA:
        name = (first or "").lower()
        if name in SETTABLE or (name in PRAGMAS and _reads(name, second)):
            return None
        return f"PRAGMA {name} belongs to the runtime"
    if action == apsw.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
        return f"{second}() reaches outside this actor's database"
    if action in _NAMES_TABLE:
        return _reserved(first) or _reserved(second if action != apsw.SQLITE_READ else None)
    return None


def _reads(name: str, argument: str | None) -> bool:
    takes_argument = name.startswith(("index_", "table_", "foreign_key_", "integrity", "quick"))
    return argument is None or takes_argument or name == "optimize"


def _reserved(name: str | None) -> str | None:
    if name is not None and name.lower().startswith(RESERVED):
        return f"names beginning with {RESERVED} are reserved"
    return None
