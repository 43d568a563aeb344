"""Errors of the browser.

    FacetsError
    └── BrowserError
        ├── BrowserUnavailable   this machine cannot run one: something is missing or forbidden
        ├── BrowserBusy          as many windows, or pages of one, are open as may be
        ├── BrowserClosed        the window or the page is closed
        ├── BrowserFailed        Chromium died, or the page's process did
        ├── PageRefused          the egress does not let the page be loaded (PermissionError)
        ├── PageFailed           the page cannot be loaded, or is no page (ConnectionError)
        ├── NoSuchElement        nothing on the page fits, or it cannot be used (LookupError)
        ├── ScriptFailed         JavaScript given to `evaluate` raised, or has no plain result
        └── BrowserLimit         something took more than it may
            ├── BrowserTimeout   an action took too long; its page is closed (TimeoutError)
            ├── BrowserMemory    the window took too much, and was ended (MemoryError)
            └── BrowserTooLarge  a text, a picture or a result is over its size

Branches follow what a caller can do: install something, wait, open another, ask for something
else, or for less. Budgets of the egress are errors of it, see facets.egress.errors.
"""

from __future__ import annotations

from storage.errors import FacetsError


class BrowserError(FacetsError):
    """Something about pages in a browser."""


class BrowserUnavailable(BrowserError):
    """This machine cannot run a browser. The hint says what to install or allow."""


class BrowserBusy(BrowserError):
    """As many windows, or pages of one window, are open as may be. Field: `most`."""

    hint = "close one, or raise Browser(windows=...) or BrowserLimits(pages=...)"
    most: int


class BrowserClosed(BrowserError):
    """The window or the page is closed."""

    hint = "use a window within its `async with`, and open another page"


class BrowserFailed(BrowserError):
    """Chromium died, or the process of a page did, or the driver, which the next window starts."""

    hint = "open another window"


class PageRefused(BrowserError, PermissionError):
    """The egress does not let the page be loaded. Field: `url`, without its query."""

    hint = "what may be loaded is said where the browser was granted, Browser(egress)"
    url: str


class PageFailed(BrowserError, ConnectionError):
    """The page cannot be loaded, or what is there is no page. Field: `url`."""

    url: str


class NoSuchElement(BrowserError, LookupError):
    """Nothing on the page fits the selector, or it cannot be used. Field: `selector`."""

    hint = "read the page again: it may have changed"
    selector: str


class ScriptFailed(BrowserError):
    """JavaScript given to `evaluate` raised, or its result is no plain data."""


class BrowserLimit(BrowserError):
    """Something took more than it may. Field: `most`, in the limit's unit."""

    most: float


class BrowserTimeout(BrowserLimit, TimeoutError):
    """An action took too long; its page is closed. `most`: seconds."""


class BrowserMemory(BrowserLimit, MemoryError):
    """The window took too much memory, and was ended. `most`: bytes."""


class BrowserTooLarge(BrowserLimit):
    """A text, a picture or a result is over its size. `most`: bytes."""
