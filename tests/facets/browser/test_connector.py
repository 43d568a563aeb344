"""A browser in code mode: granted, asked for, and nothing by default."""

from __future__ import annotations

import pytest

from facets import Actor
from facets.browser import Browser
from facets.codemode import Allow, Ask, BrowserConnector, CodeMode, Execution
from facets.testing import MemoryRuntime
from tests.facets.browser.conftest import Make, Site

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOLD: list[Browser] = []


class Surfer(Actor):
    async def on_start(self) -> None:
        connector = BrowserConnector(HOLD[0], self)
        self.code = CodeMode(self, [connector], rules=[Ask("browser.use_page"), Allow()])

    async def execute(self, source: str) -> Execution:
        return await self.code.execute(source)

    async def approve(self, call: str) -> Execution:
        return await self.code.approve(call)

    async def picture(self, path: str) -> bytes:
        return self.fs.read(path)


async def test_code_reads_pages_and_uses_them_once_that_is_approved(make: Make, site: Site) -> None:
    HOLD[:] = [make(seconds=10)]
    url = site.page("/", "<h1>An octopus</h1><button onclick='this.remove()'>go</button>")
    async with MemoryRuntime() as runtime:
        surfer = runtime.get(Surfer, "one")
        done = await surfer.execute(
            f"await browser.picture({url!r}, 'pictures/one.png')\n"
            f"read = await browser.read_page({url!r})\n"
            f"used = await browser.use_page({url!r}, [{{'do': 'click', 'on': 'text=go'}}])\n"
            "return [read['text'], used['text']]"
        )
        assert done.status == "paused"
        assert len(site.asked) == 2
        done = await surfer.approve(done.pending[0].id)

        assert done.result == ["# An octopus\n\n[button: go]", "# An octopus"]
        assert len(site.asked) == 3
        assert (await surfer.picture("/pictures/one.png")).startswith(b"\x89PNG")
        done = await surfer.execute(
            "try: await browser.read_page('http://elsewhere.test/')\n"
            "except PermissionError as error: return str(error)"
        )
        assert "no rule names this host" in done.result
