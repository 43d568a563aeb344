"""What a runtime was brought up with, kept beside its state.

    <root>/runtime.json     on the machine where `facets ray up` ran

So the other commands need no options. A program may open the runtime with the same ones.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from actors.contract import Durability
from actors.ray.errors import NotUp
from actors.ray.fleet import Hosts
from actors.ray.runtime import RayRuntime

_FILE = "runtime.json"


class Settings(msgspec.Struct, frozen=True):
    """Arguments of a `RayRuntime`."""

    root: str
    hosts: Hosts = 1
    replica: str | None = None
    durability: Durability = "local"
    address: str | None = None
    log: str = "INFO"

    def runtime(self) -> RayRuntime:
        """The runtime that they make, not open."""
        options: dict[str, Any] = msgspec.structs.asdict(self)
        return RayRuntime(options.pop("root"), **options)

    def keep(self) -> None:
        """Write them down; the file appears complete or not at all."""
        path = _path(self.root)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{_FILE}.{os.getpid()}")
        new.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")
        new.replace(path)


def recall(root: str) -> Settings:
    """What was kept beside this state; `NotUp` if nothing was."""
    try:
        data = _path(root).read_bytes()
    except FileNotFoundError:
        raise NotUp(f"nothing says how {root} was brought up", root=root) from None
    return msgspec.json.decode(data, type=Settings)


def _path(root: str) -> Path:
    return Path(os.path.expandvars(root)) / _FILE
