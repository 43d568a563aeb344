"""What a window may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BrowserLimits:
    """What may be taken. Requests and bytes are bounded by the `Budget` of the egress, the size of
    one answer by its rule."""

    pages: int = 4
    """Pages of a window, popups among them. `page()` is refused, a popup is closed."""
    seconds: float = 30.0
    """Of one action. Its page is closed: `BrowserTimeout`."""
    memory: int = 1 << 30
    """Bytes of all processes of a window, looked at each second. It is ended: `BrowserMemory`."""
    text: int = 1 << 20
    """Bytes of a text, and of a result of `evaluate`. `BrowserTooLarge`."""
    picture: int = 8 << 20
    """Bytes of a screenshot. `BrowserTooLarge`."""
    downloads: int = 16
    """Downloads of a window that nobody took yet. Later ones are refused."""
