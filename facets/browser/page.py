"""One page: what is on it, and what can be done with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, final

from actors.tasks import spawn
from facets.browser.errors import (
    BrowserClosed,
    BrowserError,
    BrowserFailed,
    BrowserTimeout,
    BrowserTooLarge,
    NoSuchElement,
    PageFailed,
    PageRefused,
    ScriptFailed,
)
from facets.browser.limits import BrowserLimits
from facets.browser.reading import MARKDOWN, TEXT
from facets.egress.errors import EgressBudget, EgressDenied

if TYPE_CHECKING:
    from playwright.async_api import Page as Tab

    from facets.actor import Actor
    from facets.browser.window import Window

_T = TypeVar("_T")
_SHUT = 1.0
_GRACE = 1.0
"""Seconds that playwright's own time-out comes before ours, which needs no answer of the page."""
_CRASHED = ("Target crashed", "Page crashed")


@final
class Page:
    """A page of a window. Made by `Window.page`.

    Selectors are those of playwright: CSS, `text=Sign in`, `role=button[name="Send"]`. Everything
    that is read is a stranger's words, for a model too. What takes longer than
    `BrowserLimits.seconds` closes the page, `BrowserTimeout`; cancelling does not.
    """

    def __init__(
        self, window: Window, tab: Tab, limits: BrowserLimits, actor: Actor | None
    ) -> None:
        self._window = window
        self._tab = tab
        self._limits = limits
        self._actor = actor

    @property
    def url(self) -> str:
        """Where it is."""
        return self._tab.url

    async def goto(self, url: str) -> int:
        """Load a page and run its scripts; the status of HTTP.

        `PageRefused` if no rule of the egress allows it, or one of the redirects to it, or it is
        not http(s); an `EgressBudget` if the window has used up what it may; `PageFailed` if it
        cannot be loaded.
        """
        if not url.startswith(("http://", "https://")):
            raise PageRefused(f"{url[:200]!r} is not a page of the web", url=url[:200])
        self._window.gate.unloaded = None
        answer = await self._do(self._tab.goto(url, wait_until="load"), url=url)
        return answer.status if answer is not None else 200

    async def text(self) -> str:
        """What can be read on it."""
        return str(await self._script(TEXT, self._limits.text))

    async def markdown(self) -> str:
        """The same with headings, links, lists, tables and code as Markdown."""
        return str(await self._script(MARKDOWN, self._limits.text))

    async def click(self, selector: str) -> None:
        """Click on what fits, once it can be clicked."""
        await self._do(self._tab.click(selector), selector=selector)

    async def fill(self, selector: str, text: str) -> None:
        """Put text into a field, in the place of what was there."""
        await self._do(self._tab.fill(selector, text), selector=selector)

    async def press(self, selector: str, key: str) -> None:
        """Press a key on what fits, as "Enter" or "Control+a"."""
        await self._do(self._tab.press(selector, key), selector=selector)

    async def wait_for(self, selector: str) -> None:
        """Until something that fits can be seen."""
        await self._do(self._tab.wait_for_selector(selector), selector=selector)

    async def evaluate(self, script: str) -> Any:
        """The result of JavaScript on the page, as plain data: an expression, or a function."""
        return await self._script(script, self._limits.text)

    async def screenshot(self, path: str | None = None, *, whole: bool = False) -> bytes:
        """What it looks like, as PNG; `whole` for all of it, not only what fits into the window.

        With a `path` it is also written to the actor's files, in the step that this returns in.
        """
        found = await self._do(self._tab.screenshot(full_page=whole))
        if len(found) > self._limits.picture:
            raise _too_large("the picture", len(found), self._limits.picture)
        if path is not None:
            if self._actor is None:
                raise BrowserError("no files to write to", hint="Browser.open(actor)")
            self._actor.fs.write(path, found)
        return found

    async def close(self) -> None:
        """Close it."""
        self._window.forget(self._tab)
        await _shut(self._tab)

    # -- how an action goes ----------------------------------------------------------------------

    async def _script(self, script: str, most: int) -> Any:
        # Measured and cut down to text inside: a result is not copied out before its size is known.
        wrapped = _WRAPPED % {"script": script, "most": most}
        kind, size, text = await self._do(self._tab.evaluate(wrapped), script=True)
        if kind == "large":
            raise _too_large("the result", int(size), most)
        if kind == "error":
            raise ScriptFailed(str(text)[:2000])
        if not isinstance(text, str) or len(text) > 4 * most:
            raise ScriptFailed("the page has changed how scripts give their results")
        return json.loads(text) if text else None

    async def _do(self, action: Awaitable[_T], **about: Any) -> _T:
        from playwright.async_api import Error

        try:
            async with asyncio.timeout(self._limits.seconds + _GRACE):
                return await action
        except TimeoutError as error:
            raise await self._late() from error
        except Error as error:
            raise await self._told(error, about) from error

    async def _late(self) -> BrowserTimeout:
        await self.close()
        most = self._limits.seconds
        return BrowserTimeout(f"the page took longer than {most:g} seconds", most=most)

    async def _told(self, error: Any, about: dict[str, Any]) -> Exception:
        from playwright.async_api import TimeoutError as Late

        said = str(error.message).partition("\n")[0][:500]
        if self._window.ended is not None:
            return self._window.ended
        if any(one in said for one in _CRASHED):
            return BrowserFailed("the process of the page died")
        if self._tab.is_closed():
            return BrowserClosed("the page is closed")
        if "selector" in about:
            selector = about["selector"]
            if isinstance(error, Late):
                said = "nothing that fits can be used"
            return NoSuchElement(f"{selector!r}: {said}", selector=selector)
        if isinstance(error, Late):
            return await self._late()
        if "url" in about:
            return self._unloaded(about["url"], said)
        return ScriptFailed(said)

    def _unloaded(self, url: str, said: str) -> Exception:
        gate, shown = self._window.gate, url.partition("?")[0][:500]
        if gate.downloads and gate.downloads[-1].url == url:
            return PageFailed(f"{shown} is a download", hint="window.downloads()", url=shown)
        why = gate.unloaded
        if isinstance(why, EgressBudget):
            return why
        if isinstance(why, EgressDenied):
            return PageRefused(f"{shown}: {why.message}", url=shown)
        return PageFailed(f"{shown}: {why.message if why else said}", url=shown)


async def _shut(tab: Tab) -> None:
    """A page that computes without end does not close by being asked: its process is ended."""
    from playwright.async_api import Error

    async def close() -> None:
        with suppress(Error):
            await tab.close()

    await asyncio.wait([spawn(close())], timeout=_SHUT)


def _too_large(what: str, size: int, most: int) -> BrowserTooLarge:
    return BrowserTooLarge(f"{what} has {size} of at most {most} bytes", most=most)


_WRAPPED = """async () => {
  try {
    let found = (%(script)s
    );
    if (typeof found === 'function') found = found();
    const text = JSON.stringify(await found) ?? '';
    return text.length > %(most)d ? ['large', text.length, ''] : ['ok', text.length, text];
  } catch (error) { return ['error', 0, String(error)]; }
}"""
