"""A real Chromium and a site on loopback; skipped where there is no browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from facets import Egress, Rule
from facets.browser import Browser, BrowserLimits, Window
from facets.egress import Attempt, Budget
from facets.errors import BrowserUnavailable

Answer = tuple[int, dict[str, str], str | bytes]


@dataclass
class Site:
    """A server of pages by path, that notes what it was asked for."""

    port: int = 0
    pages: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)

    def page(self, path: str, body: str | bytes, status: int = 200, **headers: str) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = status, {"content-type": "text/html", **named}, body
        return self.url(path)

    def url(self, path: str, host: str = "site.test") -> str:
        return f"http://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        host = head.lower().partition("host: ")[2].partition(":")[0]
        self.asked.append(f"{host}{path}")
        if path == "/never":
            await self.hold.wait()
        status, headers, body = self.pages.get(path.partition("?")[0], (404, {}, ""))
        data = body.encode() if isinstance(body, str) else body
        lines = [f"HTTP/1.1 {status} x", f"content-length: {len(data)}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + data)
        writer.close()


async def resolve(host: str, port: int) -> list[str]:
    if host.endswith(".test"):
        return ["127.0.0.1"]
    raise OSError(host)


@pytest_asyncio.fixture(loop_scope="module")
async def site() -> AsyncIterator[Site]:
    found = Site()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found
        found.hold.set()


@pytest.fixture(scope="session")
def available() -> None:
    async def probe() -> None:
        async with Browser(Egress()) as browser, browser.open():
            pass

    try:
        asyncio.run(probe())
    except BrowserUnavailable as error:
        pytest.skip(str(error))


Make = Callable[..., Browser]


@pytest.fixture
def attempts() -> list[Attempt]:
    return []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(available: None) -> AsyncIterator[Browser]:
    """One driver for all tests of a module."""
    async with Browser(Egress()) as browser:
        yield browser


@pytest.fixture
def make(browser: Browser, site: Site, attempts: list[Attempt]) -> Make:
    """That browser, with rules for the site, and limits."""

    def made(budget: Budget | None = None, **limits: float) -> Browser:
        rules = [
            Rule(host, scheme="http", port=site.port, private=host != "open.test",
                 methods=("GET", "POST"), response_size=1 << 20)
            for host in ("site.test", "other.test", "open.test")
        ]  # fmt: skip
        browser.egress = Egress(rules, resolver=resolve, budget=budget, audit=attempts.append)
        browser.limits = BrowserLimits(**limits)  # type: ignore[arg-type]
        return browser

    return made


@pytest_asyncio.fixture(loop_scope="module")
async def window(make: Make) -> AsyncIterator[Window]:
    async with make(seconds=10).open() as window:
        yield window
