"""The methods of actors and facets as tools of code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from facets import Actor
from facets.codemode import ActorConnector, Allow, Ask, CodeMode
from facets.codemode.stubs import declare
from facets.testing import MemoryRuntime


@dataclass
class Entry:
    who: str
    amount: int = 0


class Book(Actor):
    migrations = ["create table entries(who text not null, amount integer not null)"]

    async def add(self, entry: Entry) -> int:
        """Write an entry; the sum of all."""
        self.sql("insert into entries values (?, ?)", entry.who, entry.amount)
        return int(self.sql("select sum(amount) from entries").value())

    async def entries(self) -> AsyncIterator[Entry]:
        for row in self.sql("select who, amount from entries"):
            yield Entry(row.who, row.amount)

    async def forever(self) -> AsyncIterator[int]:
        while True:
            yield 1

    async def refuse(self) -> None:
        raise ValueError("closed today")


class Lead(Actor):
    async def on_start(self) -> None:
        book = self.facets.get("book", Book)

        async def revert(arguments: dict[str, Any], result: int) -> None:
            await book.add(Entry(arguments["entry"]["who"], -arguments["entry"]["amount"]))

        self.code = CodeMode(
            self,
            [
                ActorConnector("book", book, Book, reverts={"add": revert}),
                ActorConnector("reader", book, Book, methods=["entries", "forever"]),
            ],
            rules=[Ask("book.add", when=lambda given: given["entry"]["amount"] > 99), Allow()],
        )

    async def do(self, code: str) -> Any:
        return await self.code.execute(code)

    async def rollback(self, number: int) -> Any:
        return await self.code.rollback(number)

    async def approve(self) -> Any:
        return await self.code.approve(self.code.pending()[0].id)


class Stand:
    """In the place of a stub."""

    def __getattr__(self, name: str) -> Any:
        return name


@pytest.fixture
async def lead() -> AsyncIterator[Any]:
    async with MemoryRuntime() as runtime:
        yield runtime.get(Lead, "a")


async def test_methods_are_declared_by_their_signatures() -> None:
    connector = ActorConnector("book", Stand(), Book)
    found = {one.name: one for one in await connector.operations()}
    assert {*found} == {"add", "entries", "forever", "refuse"}
    assert declare(found["add"]) == (
        "class Entry(TypedDict):\n    who: str\n    amount: NotRequired[int]\n\n"
        "await book.add(entry: Entry) -> int\n# Write an entry; the sum of all."
    )
    assert "book.entries(): Promise<Entry[]>" in declare(found["entries"], "typescript")


async def test_code_calls_the_methods_of_a_facet_and_gets_what_they_give(lead: Any) -> None:
    done = await lead.do(
        "await book.add({'who': 'a', 'amount': 5})\n"
        "try: await book.refuse()\n"
        "except ValueError as error: print(error)\n"
        "[await reader.entries(), await book.add(entry={'who': 'b', 'amount': 7}),\n"
        " len(await reader.forever())]"
    )
    assert (done.error, done.printed) == ("", "closed today")
    assert done.result == [[{"who": "a", "amount": 5}], 12, 10_000]


async def test_rules_arguments_and_rollback_hold_for_methods(lead: Any) -> None:
    asked = await lead.do("await book.add({'who': 'c', 'amount': 100})")
    assert asked.status == "paused"
    done = await lead.approve()
    assert done.result == 100
    assert "UnknownTool" in (await lead.do("await reader.add({'who': 'c'})")).error
    assert "MisfitArguments" in (await lead.do("await book.add({'amount': 'x'})")).error
    assert await lead.rollback(done.id) == []
    entries = await lead.do("await reader.entries()")
    assert [one["amount"] for one in entries.result] == [100, -100]


def test_a_method_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no method 'steal' that is a tool"):
        ActorConnector("book", Stand(), Book, methods=["steal"])
