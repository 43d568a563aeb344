"""What a step pays for the history of its branch: kept in memory, read anew, and one more message.

python -m tests.benchmarks.history
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

from pydantic_ai.messages import ModelResponse, TextPart

from facets.agents import Agent, Session
from facets.agents.history import Histories
from facets.testing import MemoryRuntime

WORK: list[Callable[[Session], Any]] = []
ROUNDS = 9


class Book(Agent):
    model = "test"

    async def do(self) -> Any:
        return WORK.pop()(self.session)


def fill(session: Session, count: int) -> None:
    for n in range(0, count, 2):
        session.append(f"question {n} about the octopus and its three hearts", id=f"m{n}")
        answer = f"the answer to question {n} is as long as one sentence or two, no more"
        session.append(ModelResponse(parts=[TextPart(answer)]), id=f"m{n + 1}")


def measure(session: Session, count: int) -> dict[str, float]:
    """Milliseconds, medians of interleaved rounds."""
    took: dict[str, list[float]] = {"append": [], "kept": [], "anew": []}

    def clock(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        found = work()
        took[name].append((time.perf_counter() - start) * 1000)
        return found

    for n in range(ROUNDS):
        clock("append", lambda n=n: session.append("and one more", id=f"n{n}"))
        kept = clock("kept", session.history)
        anew = clock("anew", lambda: Histories(session._actor).read("main", session.head()))
        assert len(kept) == len(anew) == count + n + 1
    return {name: statistics.median(times) for name, times in took.items()}


async def main() -> None:
    print("| messages | kept in memory | read anew | append |\n|---|---|---|---|")
    async with MemoryRuntime() as runtime:
        for count in (10, 1_000, 10_000):
            book = runtime.get(Book, str(count))
            WORK.append(lambda session, count=count: fill(session, count))
            await book.do()
            WORK.append(lambda session, count=count: measure(session, count))
            took = await book.do()
            print(f"| {count:,} | {took['kept']:.2f} ms | {took['anew']:.1f} ms | "
                  f"{took['append']:.2f} ms |")  # fmt: skip


if __name__ == "__main__":
    asyncio.run(main())
