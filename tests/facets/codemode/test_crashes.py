"""The process may die at every operation on the disk, while code runs, waits and goes on."""

from __future__ import annotations

from typing import Any

from facets import Actor
from facets.codemode import ActorConnector, Allow, Ask, CodeMode, FunctionConnector, call_id
from facets.testing import MemoryRuntime, die_everywhere

CODE = """
import random
await notes.note("first")
await book.add(random.randrange(1, 10))
await bank.pay(5)
await bank.pay(500)
await notes.note("last")
return await book.total()
"""


class Bank:
    """Outside: it knows what it was asked, and by which key."""

    def __init__(self) -> None:
        self.keys: list[tuple[str, int]] = []

    async def pay(self, amount: int) -> str:
        """Pay an amount."""
        self.keys.append((call_id(), amount))
        return f"paid {amount}"


BANK = Bank()


class Book(Actor):
    migrations = ["create table entries(n integer not null)"]

    async def add(self, n: int) -> None:
        """Write an entry."""
        self.sql("insert into entries values (?)", n)

    async def total(self) -> int:
        """How many entries there are."""
        return int(self.sql("select count(*) from entries").value())


class Lead(Actor):
    migrations = ["create table notes(text text not null)"]

    async def on_start(self) -> None:
        book = self.facets.get("book", Book)
        self.code = CodeMode(
            self,
            [
                FunctionConnector("notes", [self.note], local=True),
                FunctionConnector("bank", [BANK.pay]),
                ActorConnector("book", book, Book, repeatable=["add", "total"]),
            ],
            rules=[Ask("bank.pay", when=lambda given: given["amount"] > 99), Allow()],
        )

    async def note(self, text: str) -> None:
        """Write a note."""
        self.sql("insert into notes values (?)", text)

    async def begin(self) -> str:
        return (await self.code.execute(CODE)).status

    async def finish(self) -> Any:
        """Whatever it takes, as somebody would who is asked."""
        if not self.code.executions():
            await self.code.execute(CODE)
        number = self.code.executions()[0].id
        unsure = 0
        while (done := await self.code.resume(number)).pending:
            unsure += done.pending[0].unsure
            await self.code.approve(done.pending[0].id)
        return done, unsure, self.sql("select text from notes").all()


async def test_an_execution_that_is_cut_off_anywhere_has_each_effect_once() -> None:
    asked: list[int] = []

    async def setup(runtime: MemoryRuntime) -> None:
        BANK.keys.clear()

    async def act(runtime: MemoryRuntime) -> None:
        lead = runtime.get(Lead, "a")
        assert await lead.begin() == "paused"
        done, _, _ = await lead.finish()
        assert done.status == "completed"

    async def check(runtime: MemoryRuntime) -> None:
        runtime.register(Lead)
        done, unsure, notes = await runtime.get(Lead, "a").finish()
        assert (done.error, done.status) == ("", "completed")
        assert done.result == 1  # the facet's own outcome, kept under the key of the call
        assert [row[0] for row in notes] == ["first", "last"]
        asked.append(unsure)
        # A call that the process died in is made again when somebody says so, under the same key.
        assert len({key for key, _ in BANK.keys}) == 2
        assert len(BANK.keys) <= 2 + unsure

    assert await die_everywhere(setup, act, check, every=9) > 10
    assert any(asked)
