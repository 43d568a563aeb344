"""The Browser that an application holds."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, final

from actors.tasks import spawn
from facets.browser import launching
from facets.browser.errors import BrowserBusy, BrowserFailed, BrowserUnavailable
from facets.browser.limits import BrowserLimits
from facets.browser.window import Window

if TYPE_CHECKING:
    from playwright.async_api import Browser as Chromium
    from playwright.async_api import Playwright

    from facets.actor import Actor
    from facets.agents.tool import Tool
    from facets.egress.egress import Egress

_START, _STOP = 30.0, 5.0
_GONE, _LOGS = "has been closed", "Browser logs"


def _unwanted(starting: asyncio.Task[Chromium]) -> None:
    """End a Chromium that came up after whoever wanted it went away."""
    if not starting.cancelled() and starting.exception() is None:
        spawn(starting.result().close())


@final
class Browser:
    """Pages for actors, in Chromium without a network: all that they load passes `egress`.

        BROWSER = Browser(Egress([Rule("*.example.org")]))

        class Reader(Actor):
            async def read(self, url: str) -> str:
                async with BROWSER.open(self) as window:
                    page = await window.page()
                    await page.goto(url)
                    return await page.markdown()

    Each window is a Chromium of its own, with its own cookies, storage and budget of the egress,
    in namespaces in which there is no network, no file of the host and no other process. Its
    requests, those of frames, popups and workers among them, are made here, by the rules of
    `egress`; a WebSocket leads nowhere. Chromium's own sandbox is on, inside of that.

    Needs Linux, Chromium (`program`, or found) and the extra `browser`; `BrowserUnavailable` says
    what is missing. `windows` may be open at a time. The driver, one process of Node for all
    windows, is started with the first one and ended by `close` or `async with`.
    """

    def __init__(
        self,
        egress: Egress,
        *,
        limits: BrowserLimits | None = None,
        program: str | None = None,
        windows: int = 4,
    ) -> None:
        self.egress = egress
        self.limits = limits or BrowserLimits()
        self.windows = windows
        self._program = program
        self._driver: Playwright | None = None
        self._starting = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open = 0

    @asynccontextmanager
    async def open(self, actor: Actor | None = None) -> AsyncGenerator[Window]:
        """A window, closed with all its pages at the end of the block.

        What leaves waits until the steps of `actor` that it may depend on are durable, and its id
        stands in the audit.
        """
        if self._open >= self.windows:
            raise BrowserBusy(f"{self.windows} windows are open", most=self.windows)
        self._open += 1
        folder = Path(tempfile.mkdtemp(prefix="facets-browser-"))
        try:
            async with self._chromium(launching.wrapper(folder, self._program)) as chromium:
                window = Window(chromium, self.egress, actor, self.limits, folder / "pid")
                try:
                    await window.begin()
                    yield window
                finally:
                    await window.close()
        finally:
            self._open -= 1
            shutil.rmtree(folder)

    @asynccontextmanager
    async def _chromium(self, script: Path) -> AsyncGenerator[Chromium]:
        from playwright.async_api import Error

        # What playwright starts for itself belongs to no call of an actor.
        starting = spawn(self._launched(script))
        try:
            chromium = await asyncio.shield(starting)
        except asyncio.CancelledError:  # playwright goes on with it
            starting.add_done_callback(_unwanted)
            raise
        try:
            yield chromium
        finally:
            with suppress(Error):
                await spawn(chromium.close())

    async def _launched(self, script: Path) -> Chromium:
        from playwright.async_api import Error

        driver = await self._driven()
        try:
            return await driver.chromium.launch(
                executable_path=script, chromium_sandbox=True, args=[*launching.ARGUMENTS],
                ignore_default_args=["--disable-popup-blocking"], handle_sigint=False,
                handle_sigterm=False, handle_sighup=False, timeout=_START * 1000,
            )  # fmt: skip
        except Error as error:
            if self._open == 1:  # nobody else uses the driver; should it be the reason, it is new
                await self.close()
            if _GONE in error.message and _LOGS not in error.message:
                raise BrowserFailed("the driver of the browser died") from error
            raise BrowserUnavailable(
                f"Chromium could not start: {error.message[-500:]}",
                hint="allow user namespaces, also within others",
            ) from error

    async def _driven(self) -> Playwright:
        from playwright.async_api import async_playwright

        loop = asyncio.get_running_loop()
        async with self._starting:
            if self._driver is None:
                self._driver, self._loop = await async_playwright().start(), loop
        if self._loop is not loop:
            raise BrowserFailed("the browser is used on another loop", hint="have one for each")
        return self._driver

    async def close(self) -> None:
        """End the driver; windows that are open fail. The next one starts it again."""
        driver, self._driver = self._driver, None
        if driver is not None:
            with suppress(Exception):  # playwright raises what it likes when its process is gone
                await asyncio.wait_for(driver.stop(), _STOP)

    async def __aenter__(self) -> Browser:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def tools(self, actor: Actor) -> list[Tool]:
        """What lets a model use it: `read_page`, `use_page`, `picture`.

        Each call has a window of its own. Put them among the tools of an agent to grant it.
        """
        from facets.browser.tools import tools

        return tools(self, actor)
