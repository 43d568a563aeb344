"""Migrations: SQL that is applied once, in order, in the first step that needs it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from storage.connection import Connection
from storage.errors import FacetsError, MigrationFailed

_TABLE = (
    "create table if not exists _facets_migrations"
    "(n integer primary key, hash text not null) without rowid"
)


def migrate(connection: Connection, migrations: Sequence[str]) -> None:
    """Apply what is missing, inside the open transaction.

    The ones already applied must still be the same ones, in the same order: a changed one
    would leave old databases different from new ones. Extra ones in the database are
    those of newer code; going back to older code is allowed.
    """
    connection.own(_TABLE)
    applied = [row[0] for row in connection.own("select hash from _facets_migrations order by n")]
    for index, statement in enumerate(migrations):
        hashed = hashlib.sha256(statement.encode()).hexdigest()[:32]
        if index < len(applied):
            _check(index, statement, hashed == applied[index])
        else:
            _apply(connection, index, statement)
            connection.own("insert into _facets_migrations values (?, ?)", (index, hashed))


def _check(index: int, statement: str, same: bool) -> None:
    if not same:
        raise MigrationFailed(
            f"migration {index} is not the one that was applied to this database",
            hint="add a new migration at the end; never change one that has run",
            index=index,
            statement=statement,
        )


def _apply(connection: Connection, index: int, statement: str) -> None:
    try:
        connection.run(statement)
    except FacetsError as error:
        raise MigrationFailed(
            f"migration {index} failed: {error}", index=index, statement=statement
        ) from error
