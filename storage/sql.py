"""`self.sql`: the private SQL database of one actor."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Literal, LiteralString

from storage.rows import Rows

if TYPE_CHECKING:
    from storage.connection import Bindings
    from storage.database import Database
    from storage.views.sql import SqlView


class Sql:
    """Runs statements in the current step. Every statement runs to its end before it returns.

    A statement that fails changes nothing and leaves the step open; of several in one text, those
    before it stay. The whole step is undone, and a note on the error says so, by a full disk
    (`StorageFull`) or memory (`OutOfMemory`), by a limit on time, rows or bytes that stops a
    statement which writes, and where SQL asks for it (`insert or rollback`). BEGIN, COMMIT,
    SAVEPOINT, ATTACH, VACUUM, temporary objects, names that begin with `_facets_`, most PRAGMAs
    and virtual tables other than full-text and spatial ones are refused: `SqlDenied`. NaN is
    stored as NULL, which is what SQLite makes of it.
    """

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, query: LiteralString, *args: Any, **named: Any) -> Rows:
        """Run a statement with values for its `?` or `:name` parameters; all of its rows."""
        return self._database.run(query, _bindings(args, named))

    def unsafe(self, query: str, *args: Any, **named: Any) -> Rows:
        """The same for SQL that was put together at run time; mind what is in it."""
        return self._database.run(query, _bindings(args, named))

    def many(self, query: LiteralString, rows: Iterable[Bindings]) -> int:
        """Run a statement once for each row of values; how many rows it changed."""
        return self._database.run_many(query, list(rows))

    def view(self, tables: Collection[str], mode: Literal["r", "rw"] = "r") -> SqlView:
        """These tables, to be handed to others: see `SqlView`."""
        from storage.views.sql import SqlView

        return SqlView(self._database, tables, mode)


def _bindings(args: tuple[Any, ...], named: dict[str, Any]) -> Bindings | None:
    if args and named:
        raise TypeError("give values by position or by name, not both")
    return args or named or None
