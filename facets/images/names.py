"""Which image a name stands for, on this machine.

    images/NAME.json    the key of the image and what is in it
    images/KEY.wasm     the guest; its native code is cached as that of any guest is

A name can be built again with other packages; isolates that run go on with the image they have.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from facets.images.errors import ImageMissing
from facets.isolates.folder import cache_folder, is_ours, replace
from facets.isolates.guest import build as guest
from facets.packages.errors import BadLock
from facets.packages.pins import Lock

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Built:
    """An image that was built. A value."""

    name: str
    key: str
    """Hash of everything that it was made from."""
    lock: Lock
    """The packages in it."""
    modules: tuple[str, ...]
    """Modules that were asked to be imported, besides those of `lock`."""

    @property
    def path(self) -> Path:
        """The guest."""
        return cache_folder("images") / f"{self.key}.wasm"


def find(name: str) -> Built:
    """The image of this name; ImageMissing if there is none for this version of the guest."""
    try:
        path = _path(name)
        said = json.loads(path.read_text()) if is_ours(path) else {}
        found = _built(name, said)
    except FileNotFoundError:
        raise _missing(name, "no image {} was built on this machine") from None
    except (ValueError, KeyError, TypeError, BadLock):
        raise _missing(name, "what is kept about image {} makes no sense") from None
    if said["guest"] != guest_hash() or not found.path.exists():
        raise _missing(name, "image {} was built for another version")
    return found


def keep(built: Built) -> None:
    """Let the name stand for this image from now on."""
    said = {
        "key": built.key,
        "guest": guest_hash(),
        "lock": built.lock.dump(),
        "modules": built.modules,
    }
    replace(_path(built.name), json.dumps(said).encode())


@cache
def guest_hash() -> str:
    """What every image is made from, besides its packages."""
    return guest.sources_hash()


def _path(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise ImageMissing(
            f"{name[:80]!r} is not the name of an image; names are like 'data'", name=name[:80]
        )
    return cache_folder("images") / f"{name}.json"


def _built(name: str, said: Any) -> Built:
    if not _KEY.fullmatch(said["key"]):
        raise ValueError(said["key"])
    modules = tuple(str(one) for one in said["modules"])
    return Built(name, said["key"], Lock.parse(said["lock"]), modules)


def _missing(name: str, text: str) -> ImageMissing:
    return ImageMissing(
        text.format(repr(name)),
        hint=f"await facets.images.build({name!r}, packages=[...])",
        name=name,
    )
