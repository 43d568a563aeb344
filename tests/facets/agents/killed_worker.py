"""A program that drives one turn, and kills itself when so many steps of it are durable."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from facets import LocalRuntime
from facets.agents import tool
from facets.agents.driving import Driver
from tests.facets.agents.test_crashes import Payer as Inner


def note(what: str) -> None:
    with Path(sys.argv[2]).open("a") as file:
        file.write(f"{what}\n")


class Payer(Inner):
    @tool
    async def book(self, what: str) -> str:
        """Book something, here and in a file outside."""
        note(what)
        return await Inner.book(self, what)


def kill_after(count: int) -> None:
    durable, passed = Driver.durable, 0

    async def counted(self: Driver) -> None:
        nonlocal passed
        await durable(self)
        passed += 1
        if passed == count:
            os.kill(os.getpid(), signal.SIGKILL)

    Driver.durable = counted  # type: ignore[method-assign]


async def main() -> None:
    kill_after(int(sys.argv[3]))
    async with LocalRuntime(sys.argv[1]) as runtime:
        payer = runtime.get(Payer, "a")
        await payer.submit("book", id="1")
        print((await payer.wait("1")).status, *await payer.booked())


if __name__ == "__main__":
    asyncio.run(main())
