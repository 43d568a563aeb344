"""An agent whose model writes code: also where the process dies, and where somebody is asked."""

from __future__ import annotations

from typing import Any

from facets.agents import Agent
from facets.codemode import Allow, Ask, CodeMode, FunctionConnector
from facets.testing import MemoryRuntime, die_everywhere
from tests.facets.agents.test_turns import call, script

PAID: list[int] = []
CODE = "await notes.note('paying')\nawait bank.pay(5)"


async def pay(amount: int) -> str:
    """Pay an amount."""
    PAID.append(amount)
    return f"paid {amount}"


class Clerk(Agent):
    model = script(
        [call("search", {"query": "pay"})],
        [call("execute", {"code": CODE})],
        [call("execute", {"code": CODE})],
        "done",
    )
    migrations = ["create table notes(text text not null)"]

    async def on_start(self) -> None:
        self.code = CodeMode(
            self,
            [
                FunctionConnector("notes", [self.note], local=True),
                FunctionConnector("bank", [pay], repeatable=["pay"]),
            ],
            rules=[Ask(when=lambda given: given.get("amount", 0) > 99), Allow()],
        )
        self.tools = self.code.tools()

    async def note(self, text: str) -> None:
        """Write a note."""
        self.sql("insert into notes values (?)", text)

    async def noted(self) -> tuple[int, list[str]]:
        notes = int(self.sql("select count(*) from notes").value())
        return notes, [one.status for one in self.code.executions()]

    async def told(self) -> list[Any]:
        return [
            part.content
            for one in self.session.path()
            for part in one.message.parts
            if part.part_kind == "tool-return"
        ]

    async def let(self, call: int) -> str:
        """What a person does, whose answer the model is to hear of."""
        done = await self.code.approve(call)
        await self.submit(f"It went on. {self.code.told(done)}", id=f"approved {call}")
        return (await self.wait(f"approved {call}")).output or ""


async def test_a_turn_that_is_cut_off_anywhere_goes_on_with_the_code_that_it_had_begun() -> None:
    async def setup(runtime: MemoryRuntime) -> None:
        await runtime.get(Clerk, "a").noted()

    async def act(runtime: MemoryRuntime) -> None:
        clerk = runtime.get(Clerk, "a")
        await clerk.submit("pay", id="1")
        await clerk.wait("1")

    async def check(runtime: MemoryRuntime) -> None:
        clerk = runtime.get(Clerk, "a")
        await clerk.submit("pay", id="1")
        turn = await clerk.wait("1")
        assert (turn.status, turn.error) == ("completed", None)
        assert await clerk.noted() == (2, ["completed", "completed"])
        found, first, second = await clerk.told()
        assert found.startswith("await bank.pay(amount: int) -> str")
        assert first == second == 'status: completed\nresult:\n"paid 5"'

    assert await die_everywhere(setup, act, check, every=13) > 3


class Asking(Clerk):
    model = script([call("execute", {"code": "await bank.pay(500)"})], "it waits")


async def test_the_model_hears_what_came_of_an_approval() -> None:
    PAID.clear()
    async with MemoryRuntime() as runtime:
        clerk = runtime.get(Asking, "a")
        assert await clerk.run("pay") == "it waits"
        (asked,) = await clerk.told()
        assert 'call 1 waits for approval: bank.pay {"amount": 500}' in asked
        assert PAID == []
        await clerk.let(1)
        assert PAID == [500]
