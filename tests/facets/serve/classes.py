"""Actors for requests to reach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from facets import Actor
from facets.errors import Busy


@dataclass
class Item:
    name: str
    price: Decimal
    data: bytes = b""


class Tally(Actor):
    """Counts words."""

    migrations = ["create table words(word text primary key, n integer not null)"]

    async def add(self, word: str, n: int = 1) -> int:
        """Count a word.

        More than once, with `n`.
        """
        self.sql(
            "insert into words values (?, ?) on conflict do update set n = n + excluded.n", word, n
        )
        return int(self.sql("select n from words where word = ?", word).value())

    async def rows(self) -> object:
        return self.sql("select word, n from words order by word")

    async def echo(self, item: Item, at: datetime, key: UUID) -> list[object]:
        assert isinstance(item.price, Decimal)
        assert isinstance(at, datetime)
        assert isinstance(key, UUID)
        return [item, at, key]

    async def same(self, item: Item) -> Item:
        return item

    async def count(self, to: int) -> AsyncGenerator[int, None]:
        for n in range(to):
            yield n

    async def fail_after(self, n: int) -> AsyncGenerator[int, None]:
        for one in range(n):
            yield one
        raise ValueError("no more")

    async def fail(self, kind: str) -> None:
        if kind == "busy":
            raise Busy("too much to do", actor=self.id, waiting=3, limit=3)
        if kind == "value":
            raise ValueError("that is no value")
        if kind == "own":
            raise type("Own", (Exception,), {})("mine")
        raise KeyError(kind)

    waiting = cancelled = 0

    async def wait(self) -> None:
        self.waiting += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled += 1

    async def waits(self) -> list[int]:
        return [self.waiting, self.cancelled]

    async def forever(self) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                self.kv["given"] = self.kv.get("given", 0) + 1
                yield bytes(10_000)
        finally:
            self.kv["closed"] = True

    async def given(self) -> tuple[int, bool]:
        return self.kv.get("given", 0), self.kv.get("closed", False)

    async def stub(self) -> object:
        return object

    async def _secret(self) -> int:
        return 1

    def plain(self) -> int:
        return 1

    async def facet(self, name: str) -> Tally:
        if name == "closed":
            raise PermissionError("not that one")
        return self.facets.get(name, Tally)


class Hidden(Actor):
    async def show(self) -> int:
        return 1
