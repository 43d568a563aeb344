"""A window: one Chromium, its pages, and what ends it."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from actors.tasks import spawn
from facets.browser.errors import BrowserBusy, BrowserClosed, BrowserError, BrowserMemory
from facets.browser.gate import Download, Gate
from facets.browser.limits import BrowserLimits
from facets.browser.page import Page
from facets.egress.acting import exit_of
from facets.sandbox.broker import descendants, proportional

if TYPE_CHECKING:
    from playwright.async_api import Browser as Chromium
    from playwright.async_api import BrowserContext
    from playwright.async_api import Page as Tab

    from facets.actor import Actor
    from facets.egress.egress import Egress

_LOOK = 1.0


@final
class Window:
    """A Chromium of its own for one piece of work. Made by `Browser.open`."""

    def __init__(
        self, chromium: Chromium, egress: Egress, actor: Actor | None, limits: BrowserLimits,
        pid: Path,
    ) -> None:  # fmt: skip
        self._chromium = chromium
        self._egress = egress
        self._actor = actor
        self._limits = limits
        self._pid = pid
        self._pages: dict[Tab, Page] = {}
        self._watching: asyncio.Task[None] | None = None
        self._context: BrowserContext | None = None
        self._gate: Gate | None = None
        self.ended: BrowserError | None = None
        """Why the window is over, if it is."""

    # -- for callers ------------------------------------------------------------------------

    async def page(self) -> Page:
        """A new, empty page; `BrowserBusy` if there are as many as may be."""
        context = self._living()
        if len(self._pages) >= self._limits.pages:
            raise BrowserBusy(f"{self._limits.pages} pages are open", most=self._limits.pages)
        return self._page(await context.new_page())

    @property
    def pages(self) -> list[Page]:
        """Those that are open, popups among them, oldest first."""
        return [*self._pages.values()]

    def downloads(self) -> list[Download]:
        """What servers gave to be kept since this was asked last."""
        if self._gate is None:
            return []
        found, self._gate.downloads = self._gate.downloads, []
        return found

    # -- within the package -------------------------------------------------------------------

    async def begin(self) -> None:
        """Close the ways out, then open the context that pages are in."""
        session = await self._chromium.new_browser_cdp_session()
        self._gate = Gate(
            exit_of(self._egress, self._actor, "browser"), session.send, self._limits.downloads
        )
        session.on("Fetch.requestPaused", self._gate.paused)
        await self._gate.open()
        self._context = await self._chromium.new_context(accept_downloads=False)
        self._context.set_default_timeout(self._limits.seconds * 1000)
        self._context.on("page", self._opened)
        self._watching = spawn(self._watch())

    async def close(self) -> None:
        """No page lives after this."""
        self.ended = self.ended or BrowserClosed("the window is closed")
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        if self._gate is not None:
            await self._gate.close()
        self._pages.clear()

    @property
    def gate(self) -> Gate:
        """Its requests."""
        if self._gate is None:
            raise BrowserClosed("the window is closed")
        return self._gate

    def forget(self, tab: Tab) -> None:
        """A page is closed."""
        self._pages.pop(tab, None)

    def _living(self) -> BrowserContext:
        if self.ended is not None:
            raise self.ended
        if self._context is None or not self._chromium.is_connected():
            raise BrowserClosed("Chromium is gone")
        return self._context

    def _page(self, tab: Tab) -> Page:
        if tab not in self._pages:
            self._pages[tab] = Page(self, tab, self._limits, self._actor)
            tab.on("close", self.forget)
        return self._pages[tab]

    def _opened(self, tab: Tab) -> None:
        """A page is there, asked for by us or by another page."""
        if len(self._pages) < self._limits.pages or tab in self._pages:
            self._page(tab)
        else:
            spawn(_shut(tab))

    async def _watch(self) -> None:
        """End the window when its processes together take too much."""
        while True:
            await asyncio.sleep(_LOOK)
            used = await asyncio.to_thread(self._memory)
            if used > self._limits.memory:
                most = self._limits.memory
                self.ended = BrowserMemory(f"the window took {used} of {most} bytes", most=most)
                self._kill()
                return

    def _memory(self) -> int:
        root = self._root()
        return sum(map(proportional, descendants(root))) if root else 0

    def _root(self) -> int:
        """The process id of bubblewrap, whose descendants all processes are."""
        try:
            return int(self._pid.read_text())
        except (OSError, ValueError):
            return 0

    def _kill(self) -> None:
        root = self._root()
        for pid in [*descendants(root), root] if root else []:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def _shut(tab: Any) -> None:
    from playwright.async_api import Error

    with suppress(Error):
        await tab.close()
