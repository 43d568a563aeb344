"""The timers of one database: rows that say what is to be done, and when.

They are changed in steps like everything else there, and go where the database goes. The catalogue
has the earliest `due` of each database, or an earlier one (`Database.due`): a step that brings it
forward has it in its record, and one that puts it off leaves it to whoever looks for it in vain.

Times are microseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from storage.connection import Connection
    from storage.database import Database

_TABLE = """
create table _facets_timers(
    id integer primary key autoincrement,
    name text unique,
    due integer,
    planned integer not null,
    method text not null,
    arguments blob not null,
    rule text,
    retry text,
    attempt integer not null default 0,
    error text
)
"""
_INDEX = "create index _facets_timers_due on _facets_timers(due) where due is not null"
EXISTS = "select 1 from sqlite_schema where name = '_facets_timers'"
NEXT = "select due from _facets_timers where due is not null order by due limit 1"
_AHEAD = "where due is not null order by due, id limit 2"
_AHEAD_BUT = (
    "where due is not null and id not in (select value from json_each(?)) order by due, id limit 2"
)
_COLUMNS = "id, name, due, planned, method, arguments, rule, retry, attempt, error"


class Entry(NamedTuple):
    """One timer as it is kept."""

    id: int
    """Never used twice in a database."""
    name: str | None
    due: int | None
    """When it is to be delivered next; None if it was given up."""
    planned: int
    """The moment that this delivery is for: `due` without what a retry puts it off."""
    method: str
    arguments: bytes
    rule: str | None
    """How it goes on after a delivery; None if it does not."""
    retry: str | None
    attempt: int
    """Deliveries of this moment that failed. Below zero while one more is under way that was
    counted before it began (`actors.unended`): -1 if it is the first."""
    error: str | None
    """Of the newest one that failed."""


class Schedule:
    """The timers of one database, as part of its steps."""

    __slots__ = ("_database", "_pending", "_ready", "kept_for")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ready = False
        self._pending: int | None = None
        """How many are to be delivered, if that is known: counting takes time for each."""
        self.kept_for: object = None
        """What their actor runs, if that is kept beside them: whoever keeps it sets this."""

    def forget(self) -> None:
        """Look again whether the table is there: the step that made it was rolled back."""
        self._ready = False
        self.kept_for = self._pending = None

    def add(self, entry: Entry) -> int:
        """Keep a new timer, in the place of the one of its name; its id, whatever `entry` says."""
        if not self._is_ready():
            self._database.run_own(_TABLE)
            self._database.run_own(_INDEX)
            self._ready = True
        if entry.name is not None:
            self.remove(entry.name)
        query = (
            "insert into _facets_timers(name, due, planned, method, arguments, rule, retry, "
            "attempt, error) values (?, ?, ?, ?, ?, ?, ?, ?, ?) returning id"
        )
        number = int(self._write(query, *entry[1:])[0][0])
        self._count(entry.due is not None)
        return number

    def put(self, entry: Entry) -> None:
        """Change when it is due next, and what became of the deliveries before."""
        query = "update _facets_timers set due=?, planned=?, attempt=?, error=? where id=?"
        changed = (entry.due, entry.planned, entry.attempt, entry.error, entry.id)
        self._write(query, *changed)
        self._pending = None

    def remove(self, which: int | str) -> bool:
        """Remove a timer by its id or its name; whether there was one."""
        if not self._is_there():
            return False
        column = "id" if isinstance(which, int) else "name"
        query = f"delete from _facets_timers where {column} = ? returning due"  # noqa: S608
        found = self._write(query, which)
        self._count(-sum(due is not None for (due,) in found))
        return bool(found)

    def find(self, number: int) -> Entry | None:
        """The timer of this id."""
        found = self._read("where id = ?", number)
        return found[0] if found else None

    def named(self, name: str) -> Entry | None:
        """The timer of a name."""
        found = self._read("where name = ?", name)
        return found[0] if found else None

    def pending(self) -> list[Entry]:
        """Those to be delivered, the next one first."""
        return self._read("where due is not null order by due, id")

    def dead(self) -> list[Entry]:
        """Those that were given up, the oldest first."""
        return self._read("where due is null order by id")

    def trim(self, most: int) -> None:
        """Forget the oldest of those that were given up, until there are no more than that."""
        over = self._number("due is null") - most
        if over > 0:
            query = (
                "delete from _facets_timers where id in "
                "(select id from _facets_timers where due is null order by id limit ?)"
            )
            self._write(query, over)

    def first(self) -> Entry | None:
        """The next one to be delivered."""
        found = self._read("where due is not null order by due, id limit 1")
        return found[0] if found else None

    def ahead(self, but: Collection[int] = ()) -> list[Entry]:
        """The next two to be delivered that are not among `but`; as of the newest commit if no
        step is open, and then without one."""
        database = self._database
        rest, values = (_AHEAD_BUT, (f"[{','.join(map(str, but))}]",)) if but else (_AHEAD, ())
        if database.in_step or not self._ready:
            return self._read(rest, *values)
        query = f"select {_COLUMNS} from _facets_timers {rest}"  # noqa: S608
        return [Entry(*row) for row in database.peek(query, values)]

    def done(self, entry: Entry) -> bool:
        """Remove a timer if it is still as it was when this delivery of it began; whether so."""
        if not self._is_there():
            return False
        query = "delete from _facets_timers where id = ? and planned = ? and due is not null"
        found = bool(self._write(f"{query} returning id", entry.id, entry.planned))
        self._count(-found)
        return found

    def tick(self, entry: Entry, planned: int) -> None:
        """Move a timer on to its next tick, under the same condition."""
        if self._is_there():
            query = (
                "update _facets_timers set due = ?1, planned = ?1, attempt = 0, error = null "
                "where id = ?2 and planned = ?3 and due is not null"
            )
            self._write(query, planned, entry.id, entry.planned)

    def next(self, connection: Connection) -> int | None:
        """When the first one is due, as the open transaction of this connection has it."""
        if not self._ready and not connection.own(EXISTS):
            return None
        found = connection.own(NEXT)
        return found[0][0] if found else None

    def count(self) -> int:
        """How many are to be delivered."""
        if self._pending is None:
            self._pending = self._number("due is not null")
        return self._pending

    def _count(self, more: int) -> None:
        if self._pending is not None:
            self._pending += more

    def _number(self, condition: str) -> int:
        if not self._is_there():
            return 0
        query = f"select count(*) from _facets_timers where {condition}"  # noqa: S608
        return int(self._database.run_own(query)[0][0])

    def _read(self, rest: str, *values: Any) -> list[Entry]:
        if not self._is_there():
            return []
        query = f"select {_COLUMNS} from _facets_timers {rest}"  # noqa: S608
        return [Entry(*row) for row in self._database.run_own(query, values)]

    def _write(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        rows = self._database.run_own(query, values)
        self._database.rescheduled = True
        return rows

    def _is_there(self) -> bool:
        """The same, without making a database to look into."""
        self._database.look()
        return self._database.has_file and self._is_ready()

    def _is_ready(self) -> bool:
        if not self._ready:
            self._ready = bool(self._database.run_own(EXISTS))
        return self._ready
