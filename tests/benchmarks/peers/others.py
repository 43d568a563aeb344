"""Other ways to run a tool that a model wrote: a process, and two embedded interpreters.

None of the three has storage of its own or may wait for the host as freely, so they are compared
in what they can: the process runs the 60-line tool over a SQLite file, the others one function.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.actors import Trunk, inside, numbers, opened
from tests.benchmarks.harness import PEERS, Skip, Subject, benchmark
from tests.benchmarks.peers.rows import STORES, from_nothing, from_the_pool, one_by_one
from tests.benchmarks.tools import LEDGER

ROUNDS = 9
TIMES = 5
EXPENSES = ["food:12", "rent:800", "food:7", "travel:31"] * 5
TOTALS = {"food": 95, "rent": 4000, "travel": 155}
FUNCTION = """
def totals(lines):
    found = {}
    for line in lines:
        category, amount = line.split(":")
        found[category] = found.get(category, 0) + int(amount)
    return found
"""
SCRIPT = """
function totals(lines) {
  const found = {};
  for (const line of lines) {
    const [category, amount] = line.split(":");
    found[category] = (found[category] ?? 0) + Number(amount);
  }
  return found;
}
"""
ENTRY = "\nasync def main(lines):\n    return totals(lines)\n"
EXPORT = "\nexport async function main(lines) { return totals(lines); }\n"
ADD = ["2026-11-25", "food", "12.50", "lunch"]


@inside
async def function(trunk: Trunk, n: int) -> None:
    for _ in range(n):
        source = f"{FUNCTION}{ENTRY}# number {next(numbers)}\n"
        assert await trunk.isolates.run(source, EXPENSES) == TOTALS


@inside
async def script(trunk: Trunk, n: int) -> None:
    for _ in range(n):
        source = f"{SCRIPT}{EXPORT}// number {next(numbers)}\n"
        assert await trunk.isolates.run(source, EXPENSES, language="javascript") == TOTALS


@inside
async def ledger_add(trunk: Trunk, n: int) -> None:
    for _ in range(n):
        name = f"ledger {next(numbers)}"
        source = f"{LEDGER}# number {next(numbers)}\n"
        await trunk.facets.get(name, trunk.isolates.load(source).actor("Tool")).add(*ADD)
        trunk.facets.abort(name)


async def _process(folder: Path, tool: Path) -> None:
    state = folder / f"{next(numbers)}.db"
    program = str(Path(__file__).parent / "process.py")
    made = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", program, str(tool), str(state), "add", json.dumps(ADD),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await made.communicate()
    if made.returncode or said.strip() != b"1":
        raise RuntimeError(f"the process failed: {made.returncode} {said!r}")


def _beside_a_process(store: str) -> None:
    @benchmark(f"60-line tool in a new facet, durable, beside a new process ({store})", PEERS)
    async def made() -> AsyncIterator[Subject]:
        base = STORES[store]
        with TemporaryDirectory(dir=base or Path.cwd()) as folder:
            tool = Path(folder) / "tool.py"
            tool.write_text(LEDGER)

            async def reference() -> None:
                for _ in range(TIMES):
                    await _process(Path(folder), tool)

            async with opened(base) as (_, trunk):
                yield Subject(
                    lambda: from_nothing(trunk, "ledger_add", TIMES),
                    TIMES, reference, TIMES, "Python process", ROUNDS,
                )  # fmt: skip


for _store in STORES:
    _beside_a_process(_store)


def _wanted(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Skip(f"{name} is not installed") from None


@asynccontextmanager
async def monty() -> AsyncIterator[Any]:
    """Runs the function in a fresh session of a warm pool of its worker processes."""
    module = _wanted("pydantic_monty")
    async with module.AsyncMonty() as pool:

        async def once() -> Any:
            async with pool.checkout() as session:
                source = f"{FUNCTION}totals(lines)  # number {next(unique)}\n"
                return await session.feed_run(source, inputs={"lines": EXPENSES})

        unique = count()
        yield once


@asynccontextmanager
async def quickjs() -> AsyncIterator[Any]:
    """Runs the same function in JavaScript, in a fresh runtime."""
    module = _wanted("quickjs_rs")

    async def once() -> Any:
        with module.Runtime() as runtime, runtime.new_context() as context:
            return context.eval(f"{SCRIPT}totals({json.dumps(EXPENSES)})")

    yield once


def _beside(title: str, against: str, other: Any, ours: Any, work: str = "function") -> None:
    @benchmark(f"{title}, beside {against}", PEERS)
    async def made() -> AsyncIterator[Subject]:
        async with other() as once, opened() as (_, trunk):
            if await once() != TOTALS:
                raise RuntimeError(f"{against} gave another result")

            async def reference() -> None:
                for _ in range(TIMES):
                    await once()

            run = partial(ours, trunk, work, TIMES)
            yield Subject(run, TIMES, reference, TIMES, against, ROUNDS)


for _against, _other in (("pydantic-monty", monty), ("quickjs-rs", quickjs)):
    _beside("a function in a fresh isolate", _against, _other, from_nothing)
    _beside("a function in a pooled isolate", _against, _other, from_the_pool)
_beside("a JavaScript function in a fresh isolate", "quickjs-rs", quickjs, one_by_one, "script")
