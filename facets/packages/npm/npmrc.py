"""The registry that npm uses on this machine, from its environment and its files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DEFAULT = "https://registry.npmjs.org/"
_LINE = re.compile(r"\s*(registry|cafile)\s*=\s*(.*?)\s*")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class Configured(NamedTuple):
    """What of npm's configuration matters here."""

    registry: str = DEFAULT
    cafile: str | None = None


def read() -> Configured:
    """The settings in force: the environment first, then the user's file, then the machine's.

    Only a registry and its certificates; tokens are not read. A registry that asks who one is can
    be given as `Index("https://user:password@host/")`.
    """
    found = {name: text for name in ("registry", "cafile") if (text := _variable(name))}
    for path in _files():
        found = dict(_settings(path)) | found
    return Configured(found.get("registry", DEFAULT), found.get("cafile"))


def _variable(name: str) -> str | None:
    """What npm's variable says; npm takes it in any case."""
    return next(
        (text for key, text in os.environ.items() if key.lower() == f"npm_config_{name}"), None
    )


def _files() -> Iterator[Path]:
    """Where npm looks, the most special first; not in the working directory, which is no project
    of its own."""
    yield Path(_variable("userconfig") or Path.home() / ".npmrc")
    prefix = _variable("prefix")
    machine = Path(prefix) / "etc" / "npmrc" if prefix else Path("/usr/etc/npmrc")
    yield Path(_variable("globalconfig") or machine)


def _settings(path: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return  # npm itself complains about it
    for line in lines:
        found = _LINE.fullmatch(line)
        if found and found[2]:
            text = found[2].strip("\"'")
            yield found[1], _VARIABLE.sub(lambda one: os.environ.get(one[1], one[0]), text)
