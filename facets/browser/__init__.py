"""Pages in Chromium for actors, when granted: all that they load passes an Egress.

    browser    Browser: what an application holds     limits     what a window may take
    window     Window: one Chromium and its pages     page       Page: read it, use it
    gate       requests, answered through the egress  reading    scripts that read a page
    launching  Chromium in namespaces of its own      tools      for a model
    errors     one tree

Needs the extra `browser` and Chromium. Importing this package imports neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facets.browser.browser import Browser as Browser
    from facets.browser.gate import Download as Download
    from facets.browser.limits import BrowserLimits as BrowserLimits
    from facets.browser.page import Page as Page
    from facets.browser.window import Window as Window

__all__ = ["Browser", "BrowserLimits", "Download", "Page", "Window"]

_LAZY = {
    "Browser": "browser",
    "BrowserLimits": "limits",
    "Download": "gate",
    "Page": "page",
    "Window": "window",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'facets.browser' has no attribute {name!r}")
    return getattr(import_module(f"facets.browser.{module}"), name)
