"""What this process hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.ray.hosting import Hosting

HERE: dict[str, Hosting] = {}
"""By the name of the runtime."""


def hosting(runtime: str) -> Hosting | None:
    """What this process hosts of a runtime."""
    return HERE.get(runtime)
