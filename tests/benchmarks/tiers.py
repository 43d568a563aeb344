"""What each tier costs here: `python -m tests.benchmarks.tiers` prints the table of docs/tiers.md.

All tiers take turns in the same rounds, so that a machine with other work to do slows all of them.
Memory is what processes have for themselves, and their part of what they share (PSS).
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

import facets
from facets import Actor, Egress, LocalRuntime
from facets.browser import Browser
from facets.egress import Request, Response
from facets.sandbox import Sandbox
from facets.sandbox.broker import descendants, proportional

ROUNDS = 9
SOURCE = "async def main(n):\n    return n + 1\n"
TOOL = """from facets import Actor

class Tool(Actor):
    async def add(self, n):
        return n + 1
"""
PYTHON = ["python3", "-c", ""]
Timed = dict[str, list[float]]


async def page(request: Request) -> Response:
    """A small page."""
    return Response(200, (("content-type", "text/html"),), b"<h1>An octopus</h1>")


SANDBOX = Sandbox()
BROWSER = Browser(Egress(handler=page))
URL = "https://site.test/"


class Bench(Actor):
    """Goes up the ladder, round by round."""

    async def measure(self) -> Timed:
        """Milliseconds and megabytes of each round, by what was measured."""
        found: Timed = {}
        tool: Any = self.facets.get("tool", self.isolates.get(TOOL).actor("Tool"))
        await tool.add(1)
        async with SANDBOX.open() as box, BROWSER.open() as window:
            tab = await window.page()
            for _ in range(ROUNDS):
                await self._round(found, tool, box, tab)
        return found

    async def _round(self, found: Timed, tool: Any, box: Any, tab: Any) -> None:
        await timed(found, "files: write and read 1 KB", self._file)
        await timed(found, "isolate: new, first result", lambda: self.isolates.run(SOURCE, 1))
        await timed(found, "isolate: warm call", lambda: tool.add(1))
        await timed(found, "browser: new window, page read", lambda: browse(found))
        await timed(found, "browser: warm, next page read", lambda: read(tab))
        await timed(found, "sandbox: new box, `true`", lambda: command(found, ["true"]))
        await timed(
            found, "sandbox: new box, `python3`", lambda: command({}, ["python3", "-c", ""])
        )
        await timed(found, "sandbox: warm, `true`", lambda: box.exec(["true"]))

    async def _file(self) -> None:
        self.fs.write("/a", b"x" * 1024)
        self.fs.read("/a")


async def timed(found: Timed, name: str, work: Callable[[], Awaitable[object]]) -> None:
    """Add what it takes, in ms."""
    begin = time.perf_counter()
    await work()
    found.setdefault(name, []).append((time.perf_counter() - begin) * 1000)


async def read(tab: Any) -> None:
    """Load a page and read it."""
    await tab.goto(URL)
    await tab.markdown()


async def browse(found: Timed) -> None:
    """The same in a window of its own."""
    async with BROWSER.open() as window:
        await read(await window.page())
        used = sum(map(proportional, descendants(window._root())))
        found.setdefault("browser: memory of a window, MB", []).append(used / 1e6)


async def command(found: Timed, argv: list[str]) -> None:
    """One command in a box of its own."""
    async with SANDBOX.open() as box:
        await box.exec(argv)
        pid = box._channel.process.pid
        used = sum(map(proportional, {pid, *descendants(pid)}))
        found.setdefault("sandbox: memory of a box, MB", []).append(used / 1e6)


async def main() -> None:
    """Print a row for each."""
    with tempfile.TemporaryDirectory() as state:
        async with LocalRuntime(state) as runtime, BROWSER:
            found = await runtime.get(Bench, "one").measure()
    print(f"facets {facets.__version__}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name, values in sorted(found.items()):
        low, median, high = statistics.quantiles(values, n=4)
        print(f"| {name} | {median:.3g} | {low:.3g} - {high:.3g} |")


if __name__ == "__main__":
    asyncio.run(main())
