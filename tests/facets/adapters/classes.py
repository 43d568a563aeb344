"""Actors that the tests of all adapters use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from facets import Actor
from facets.agents import Agent


class Tally(Actor):
    """Counts words."""

    migrations = ["create table words(word text primary key, n integer not null)"]
    hung: str | None = None

    async def add(self, word: str, n: int = 1) -> int:
        """Count a word."""
        self.sql(
            "insert into words values (?, ?) on conflict do update set n = n + excluded.n", word, n
        )
        return int(self.sql("select n from words where word = ?", word).value())

    async def fail(self, why: str) -> None:
        """Write, and fail."""
        await self.add("undone")
        raise ValueError(why)

    async def words(self) -> AsyncIterator[str]:
        """All words."""
        for row in self.sql("select word from words order by word"):
            yield row.word

    async def hang(self) -> str:
        """Never return."""
        self.hung = "yes"
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.hung = "cancelled"
        return "never"

    async def hanging(self) -> str | None:
        """What became of `hang`."""
        return self.hung

    async def shelf(self) -> Tally:
        """A stub of a facet of the same class."""
        return self.facets.get("shelf", Tally)


class Librarian(Agent):
    """Knows where the books are.

    More that no model needs to read.
    """

    model = "test"
