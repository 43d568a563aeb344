"""The index that pip uses on this machine, from its environment and its files."""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Configured(NamedTuple):
    """What of pip's configuration matters here."""

    index_url: str | None = None
    cert: str | None = None


def read() -> Configured:
    """The settings in force: the environment first, then the files, the most special first."""
    found = {
        "index-url": os.environ.get("PIP_INDEX_URL"),
        "cert": os.environ.get("PIP_CERT"),
    }
    for path in reversed(list(_files())):
        for name, value in _settings(path):
            if not found.get(name):
                found[name] = value
    return Configured(found["index-url"] or None, found["cert"] or None)


def _files() -> Iterator[Path]:
    """Where pip looks, the most general first."""
    own = os.environ.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return
    for folder in os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep):
        if folder:
            yield Path(folder) / "pip" / "pip.conf"
    yield Path("/etc/pip.conf")
    yield Path.home() / ".pip" / "pip.conf"
    base = os.environ.get("XDG_CONFIG_HOME")
    yield (Path(base) if base else Path.home() / ".config") / "pip" / "pip.conf"
    yield Path(sys.prefix) / "pip.conf"
    if own:
        yield Path(own)


def _settings(path: Path) -> Iterator[tuple[str, str]]:
    """Its settings, those for downloads before those for everything."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(path.read_text())
    except (OSError, UnicodeDecodeError, configparser.Error):
        return  # pip itself complains about it
    for section in ("download", "install", "global"):
        if parser.has_section(section):
            for name, value in parser.items(section):
                if value:
                    yield name.replace("_", "-"), value.strip()
