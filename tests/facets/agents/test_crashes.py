"""A process may die at any place of a turn: the next one goes on, and repeats nothing finished."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

from facets.agents import Agent, Turn, tool
from facets.testing import MemoryRuntime, die_everywhere
from tests.facets.agents.test_turns import call, script

ROOT = Path(__file__).parents[3]
OUTSIDE: dict[str, list[str]] = {}


class Payer(Agent):
    model = script(
        [call("book", {"what": "a"}), call("book", {"what": "b"})],
        [call("book", {"what": "c"})],
        "all booked",
    )
    migrations = ["create table booked(what text)"]

    @tool
    async def book(self, what: str) -> str:
        """Book something."""
        self.sql("insert into booked values (?)", what)
        OUTSIDE.setdefault(self.name, []).append(what)
        return what

    async def booked(self) -> list[str]:
        return [row.what for row in self.sql("select what from booked order by what")]

    async def shape(self) -> list[str]:
        return [one.message.kind for one in self.session.path()]


SHAPE = ["request", "response", "request", "response", "request", "response"]


async def test_a_turn_that_is_cut_off_anywhere_is_finished_and_books_each_thing_once() -> None:
    async def setup(runtime: MemoryRuntime) -> None:
        await runtime.get(Payer, "a").booked()

    async def act(runtime: MemoryRuntime) -> None:
        payer = runtime.get(Payer, "a")
        await payer.submit("book", id="1")
        await payer.wait("1")

    async def check(runtime: MemoryRuntime) -> None:
        payer = runtime.get(Payer, "a")
        await payer.submit("book", id="1")
        turn = await payer.wait("1")
        assert (turn.status, turn.steps, turn.tokens) == ("completed", 3, 45)
        assert await payer.booked() == ["a", "b", "c"]
        assert await payer.shape() == SHAPE

    assert await die_everywhere(setup, act, check) > 3


async def test_a_submitted_turn_goes_on_by_itself_after_a_crash() -> None:
    async with MemoryRuntime() as runtime:
        await runtime.get(Payer, "a").submit("book", id="1")
        await runtime.crash()
        runtime.register(Payer)
        await runtime.clock.run(30)
        turn: Turn = await runtime.get(Payer, "a").turn("1")
        assert turn.status != "pending"  # nobody has asked it to go on
        while not turn.over:
            await asyncio.sleep(0)
            turn = await runtime.get(Payer, "a").turn("1")
        assert turn.status == "completed"


async def test_a_process_killed_after_any_step_repeats_no_finished_effect(tmp_path: Path) -> None:
    killed = 0
    for at in range(1, 20, 2):
        root, log = tmp_path / str(at), tmp_path / f"{at}.txt"
        code = [
            sys.executable,
            "-m",
            "tests.facets.agents.killed_worker",
            str(root),
            str(log),
            str(at),
        ]
        first = await asyncio.to_thread(subprocess.run, code, cwd=ROOT, check=False)
        if first.returncode == 0:
            break
        assert first.returncode == -signal.SIGKILL
        killed += 1
        again = [*code[:-1], "0"]
        done = await asyncio.to_thread(
            subprocess.run, again, cwd=ROOT, check=True, capture_output=True, text=True
        )
        assert done.stdout.split() == ["completed", "a", "b", "c"]
        assert sorted(log.read_text().split()) == ["a", "b", "c"]
    assert killed >= 4
