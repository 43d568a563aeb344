"""Which image a name stands for, on this machine.

    images/NAME.json    the key of the image and what is in it
    images/KEY.wasm     the guest; its native code is cached as that of any guest is

A name can be built again with other packages; isolates that run go on with the image they have.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from facets.images.errors import ImageMissing
from facets.isolates import sweeping
from facets.isolates.folder import cache_folder, is_ours
from facets.isolates.folder import replace as put
from facets.isolates.guest import build as guest
from facets.isolates.limits import Limits
from facets.packages.errors import BadLock
from facets.packages.pins import Lock

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
RESERVED = ("python", "science")
"""Names that are not of images built here."""
_found: dict[Path, tuple[int, Built]] = {}
"""What was read before, and when it was written."""
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
    memory: int
    """Bytes that an isolate of it begins with."""

    @property
    def limits(self) -> Limits:
        """What its isolates may use by default: as much memory more as other isolates have."""
        usual = Limits().memory
        return Limits(memory=max(usual, self.memory + usual // 2))

    @cached_property
    def path(self) -> Path:
        """The guest."""
        return cache_folder("images") / f"{self.key}.wasm"


def find(name: str) -> Built:
    """The image of this name; ImageMissing if there is none for this version of the guest."""
    path = _path(name)
    try:
        written = path.stat().st_mtime_ns
    except FileNotFoundError:
        raise _missing(name, "no image {} was built on this machine") from None
    known, found = _found.get(path, (0, None))
    if found is None or known != written:
        found = _read(name, path)
        _found[path] = written, found
    return found


def _read(name: str, path: Path) -> Built:
    try:
        said = json.loads(path.read_text()) if is_ours(path) else {}
        found = _built(name, said)
    except (ValueError, KeyError, TypeError, BadLock):
        raise _missing(name, "what is kept about image {} makes no sense") from None
    if said["guest"] != guest_hash() or not found.path.exists():
        raise _missing(name, "image {} was built for another version, or not used for long")
    sweeping.use(found.path)
    return found


def keep(built: Built) -> None:
    """Let the name stand for this image from now on."""
    said = {
        "key": built.key,
        "guest": guest_hash(),
        "lock": built.lock.dump(),
        "modules": built.modules,
        "memory": built.memory,
    }
    put(_path(built.name), json.dumps(said).encode())


@cache
def guest_hash() -> str:
    """What every image is made from, besides its packages."""
    return guest.sources_hash()


def _path(name: str) -> Path:
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise ImageMissing(
            f"{name[:80]!r} is not a name for an image; write one like 'data'", name=name[:80]
        )
    return cache_folder("images") / f"{name}.json"


def _built(name: str, said: Any) -> Built:
    if not _KEY.fullmatch(said["key"]):
        raise ValueError(said["key"])
    modules = tuple(str(one) for one in said["modules"])
    return Built(name, said["key"], Lock.parse(said["lock"]), modules, int(said["memory"]))


def _missing(name: str, text: str) -> ImageMissing:
    return ImageMissing(
        text.format(repr(name)),
        hint=f"await facets.images.build({name!r}, packages=[...])",
        name=name,
    )
