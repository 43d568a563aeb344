"""An owner of sessions over a database in memory: what the actor layer is in real life."""

from __future__ import annotations

import asyncio
import pickle
import sqlite3
from collections.abc import Callable
from typing import Any

from facets.isolates.errors import IsolateDead
from storage.errors import ConstraintError, SqlError


class Owner:
    """Services that keep everything that happened, in order."""

    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.execute("create table _kv(key text primary key, value blob)")
        self.events: list[str] = []
        self.printed: list[tuple[str, str]] = []
        self.deaths: list[IsolateDead] = []
        self.fail_commit: Exception | None = None
        self.on_storage: Any = None
        self.own: Any = None
        self.home: Any = None
        self.giver: Any = None
        self.asked: list[Any] = []

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.printed)

    def values(self, query: str) -> list[Any]:
        return [row[0] for row in self.db.execute(query)]

    # -- services -------------------------------------------------------------------------------

    def granter(self, cause: Any) -> Any:
        return None

    def own_now(self, cause: Any, method: str, args: Any, kwargs: Any) -> Any:
        return self.own.now(method, args, kwargs)

    def expect(self, several: Any) -> None:
        self.events.append(f"expect {len(several)}")

    async def use(self, asked: Any) -> Any:
        self.asked.append(asked)
        self.events.append("use")
        asked.grant.capability.admit(asked.method, asked.args, asked.kwargs)
        return await asked.grant.capability.call(asked.method, asked.args, asked.kwargs)

    def iterate(self, asked: Any) -> Any:
        self.asked.append(asked)
        self.events.append("use")
        asked.grant.capability.admit(asked.method, asked.args, asked.kwargs)
        return asked.grant.capability.stream(asked.method, asked.args, asked.kwargs)

    def storage(self, op: str, args: list[Any]) -> object:
        if self.on_storage is not None:
            self.on_storage(op, args)
        if not self.db.in_transaction:
            self.db.execute("begin")
        self.events.append(op)
        try:
            return getattr(self, f"_{op}")(*args)
        except sqlite3.IntegrityError as error:
            raise ConstraintError(str(error), statement=str(args[0]), code=19) from None
        except sqlite3.Error as error:
            raise SqlError(str(error), statement=str(args[:1]), code=1) from None

    def commit(self) -> None:
        if self.fail_commit is not None:
            self.rollback()
            raise self.fail_commit
        self.events.append("commit")
        if self.db.in_transaction:
            self.db.execute("commit")

    def rollback(self) -> None:
        self.events.append("rollback")
        if self.db.in_transaction:
            self.db.execute("rollback")

    def log(self, stream: str, text: str) -> None:
        self.printed.append((stream, text))

    def died(self, error: IsolateDead) -> None:
        self.deaths.append(error)

    # -- operations -----------------------------------------------------------------------------

    def _sql(self, query: str, args: list[Any], named: dict[str, Any]) -> object:
        cursor = self.db.execute(query, named or args)
        columns = [column[0] for column in cursor.description or ()]
        return {"columns": columns, "rows": cursor.fetchall(), "changes": max(cursor.rowcount, 0)}

    _unsafe = _sql

    def _many(self, query: str, rows: list[Any]) -> object:
        return {"changes": self.db.executemany(query, rows).rowcount}

    def _begin(self) -> None:
        self.db.execute("savepoint s")

    def _release(self) -> None:
        self.db.execute("release s")

    def _rollback_to(self) -> None:
        self.db.execute("rollback to s")
        self.db.execute("release s")

    def _kv(self, op: str, *args: Any) -> object:
        return getattr(self, f"_kv_{op}")(*args)

    def _kv_get(self, key: str) -> object:
        row = self.db.execute("select value from _kv where key=?", [key]).fetchone()
        if row is None:
            raise KeyError(key)
        return pickle.loads(row[0])

    def _kv_set(self, key: str, value: object) -> None:
        self.db.execute("insert or replace into _kv values (?, ?)", [key, pickle.dumps(value)])

    def _kv_delete(self, key: str) -> None:
        if not self.db.execute("delete from _kv where key=?", [key]).rowcount:
            raise KeyError(key)

    def _kv_contains(self, key: str) -> bool:
        return self.db.execute("select 1 from _kv where key=?", [key]).fetchone() is not None

    def _kv_len(self) -> int:
        return int(self.db.execute("select count(*) from _kv").fetchone()[0])

    def _kv_list(
        self, prefix: str, start: str | None, end: str | None, limit: int | None, reverse: bool
    ) -> list[list[Any]]:
        rows = self.db.execute("select key, value from _kv order by key").fetchall()
        kept = [
            [key, pickle.loads(value)]
            for key, value in rows
            if key.startswith(prefix) and (start or key) <= key and (end is None or key < end)
        ]  # fmt: skip
        return (kept[::-1] if reverse else kept)[:limit]

    def _kv_get_many(self, keys: list[str]) -> dict[str, Any]:
        return {key: self._kv_get(key) for key in keys if self._kv_contains(key)}

    def _kv_update(self, entries: dict[str, Any]) -> None:
        for key, value in entries.items():
            self._kv_set(key, value)

    def _kv_delete_many(self, keys: list[str]) -> int:
        return sum(self.db.execute("delete from _kv where key=?", [key]).rowcount for key in keys)

    def _kv_clear(self) -> None:
        self.db.execute("delete from _kv")


async def until(true: Callable[[], bool]) -> None:
    """Give the loop turns until something is so."""
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0)
