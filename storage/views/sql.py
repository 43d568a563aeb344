"""Some tables of an actor's database, for SQL that a stranger wrote."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import apsw

from storage.rows import Rows
from storage.sql import _bindings
from storage.views.view import Mode, View

if TYPE_CHECKING:
    from storage.database import Database

_HARMLESS = frozenset({apsw.SQLITE_SELECT, apsw.SQLITE_FUNCTION, apsw.SQLITE_RECURSIVE})
_CHANGES = frozenset({apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE})
_ALWAYS = frozenset({"json_each", "json_tree"})
"""Functions in the form of tables."""


class SqlView(View):
    """Statements that may name only some tables; with mode "r" only SELECT.

    Every table that a statement reaches must be named in the view, also through a SQL view, a
    trigger or a foreign key: what such an object would do in somebody's name is not done here.
    Anything but SELECT, and INSERT, UPDATE and DELETE with mode "rw", is `SqlDenied`.
    """

    __slots__ = ("tables",)

    READS = ("query",)
    WRITES = ("execute",)

    def __init__(self, database: Database, tables: Collection[str], mode: Mode) -> None:
        super().__init__(database, mode)
        if isinstance(tables, str):
            raise TypeError("tables is a list of names, not one text")
        self.tables = frozenset(_name(table) for table in tables)

    def query(self, query: str, *args: Any, **named: Any) -> Rows:
        """Run a SELECT with values for its parameters; all of its rows."""
        return self._run(query, args, named, changes=False)

    def execute(self, query: str, *args: Any, **named: Any) -> Rows:
        """Run an INSERT, UPDATE or DELETE, or a SELECT; its rows, and how many it changed."""
        self._writes()
        return self._run(query, args, named, changes=True)

    def _run(
        self, query: str, args: tuple[Any, ...], named: dict[str, Any], *, changes: bool
    ) -> Rows:
        def why_denied(action: int, first: str | None) -> str | None:
            return self._why_denied(action, first, changes=changes)

        return self.database.run_confined(query, _bindings(args, named), why_denied)

    def _why_denied(self, action: int, first: str | None, *, changes: bool) -> str | None:
        """Why a statement may not do this; asked besides what holds for every statement."""
        if action in _HARMLESS:
            return None
        table = (first or "").lower()
        if action == apsw.SQLITE_READ:
            if table in self.tables or table in _ALWAYS:
                return None
            return f"this view does not show {first!r}"
        if action not in _CHANGES:
            return "a view is for SELECT, and with mode 'rw' for INSERT, UPDATE and DELETE"
        if not changes:
            return "this is for reading only"
        return None if table in self.tables else f"this view may not change {first!r}"

    def __repr__(self) -> str:
        return f"<tables {', '.join(sorted(self.tables))}>"


def _name(table: object) -> str:
    if not isinstance(table, str) or not table:
        raise TypeError(f"the name of a table is text, not {table!r}")
    return table.lower()
