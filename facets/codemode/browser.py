"""Pages in a browser as tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facets.browser.tools import functions
from facets.codemode.functions import FunctionConnector

if TYPE_CHECKING:
    from facets.actor import Actor
    from facets.browser.browser import Browser


def BrowserConnector(  # noqa: N802 - it stands beside the classes of the other connectors
    browser: Browser, actor: Actor, *, name: str = "browser"
) -> FunctionConnector:
    """Tools over pages: `read_page`, `use_page` and `picture`, each in a window of its own.

    What is asked of servers cannot be taken back: nothing is reverted, and a call that a crash cut
    off is asked for before it runs again. Rules hold as for any tool: `Ask("browser.use_page")`.
    """
    return FunctionConnector(name, functions(browser, actor))
