"""Images: guests with packages imported already, so that an isolate starts as fast as without.

    building     build: packages to an image       names      which image a name stands for
    errors       everything that goes wrong

Importing this package imports no builder; building does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from facets.images.errors import ImageError as ImageError

if TYPE_CHECKING:
    from facets.images.building import build as build
    from facets.images.names import Built as Built
    from facets.images.names import find as find

__all__ = ["Built", "ImageError", "build", "find"]
_LAZY = {"Built": "names", "build": "building", "find": "names"}


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'facets.images' has no attribute {name!r}")
    return getattr(import_module(f"facets.images.{module}"), name)
