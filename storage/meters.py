"""What was spent on meters, where it is kept.

Twice, in one record: an actor's own database has what it spent itself, so that SQLite undoes
that with the step, or with a part of it; and the catalogue has the sums of those who limit it,
so that they are known without opening what is below, and outlive it. A restored actor has not
got back what it spent: the catalogue does not go back in time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.catalogue import Catalogue
    from storage.database import Database

Charge = tuple["Database", str, float]
"""Of whom, on which meter, how much more."""
_OWN = "create table if not exists _facets_meters(meter text primary key, spent) without rowid"
_RESERVED = (
    "create table if not exists _facets_reservations(id integer primary key, meter text, amount)"
)
_HAS_OWN = "select 1 from sqlite_schema where name = '_facets_meters'"
_SPENT = "select spent from _facets_meters where meter = ?"
_SUMS = (
    "create table if not exists meters"
    "(uid integer, meter text, spent, primary key(uid, meter)) without rowid"
)


def spent_by(database: Database, meter: str) -> float:
    """What an actor spent itself, in all steps up to the newest, if that is undecided; else 0."""
    ask = database.run_own if database.in_step else database.peek
    if not database.undecided or not ask(_HAS_OWN):
        return 0
    rows = ask(_SPENT, (meter,))
    return rows[0][0] if rows else 0


def spend(database: Database, meter: str, total: float) -> None:
    """What it spent is `total` from this step on."""
    database.run_own(_OWN)
    database.run_own("insert or replace into _facets_meters values (?, ?)", (meter, total))


def reserve(database: Database, number: int, meter: str, amount: float) -> None:
    """Some of what was spent in this step is a reservation of this number."""
    database.run_own(_RESERVED)
    row = (number, meter, amount)
    database.run_own("insert or replace into _facets_reservations values (?, ?, ?)", row)


def release(database: Database, number: int) -> tuple[str, float] | None:
    """A reservation is over: what it was; None if there is none, as its step was undone."""
    database.run_own(_RESERVED)
    query = "delete from _facets_reservations where id = ? returning meter, amount"
    rows = database.run_own(query, (number,))
    return rows[0] if rows else None


def release_all(database: Database) -> None:
    """Those of an incarnation that has ended: nobody can settle them."""
    database.run_own(_RESERVED)
    database.run_own("delete from _facets_reservations")


def charge(catalogue: Catalogue, charges: Iterable[Charge]) -> None:
    """Add to the sums of these actors, which have rows; part of the catalogue's open step."""
    database = catalogue.database
    database.run_own(_SUMS)
    for one, meter, more in charges:
        database.run_own(
            "insert into meters values (?, ?, max(0, ?3))"
            "on conflict do update set spent = max(0, spent + ?3)",
            (one.take_uid(), meter, more),
        )


def sums(catalogue: Catalogue, uid: int) -> dict[str, float]:
    """What was spent on each meter by an actor and all that were ever below it."""
    if not catalogue.read("select 1 from sqlite_schema where name = 'meters'"):
        return {}
    return dict(catalogue.read("select meter, spent from meters where uid = ?", uid))


def forget(catalogue: Catalogue, uids: Sequence[int]) -> None:
    """They were deleted; part of the catalogue's open step."""
    if catalogue.read("select 1 from sqlite_schema where name = 'meters'"):
        for uid in uids:
            catalogue.database.run_own("delete from meters where uid = ?", (uid,))
