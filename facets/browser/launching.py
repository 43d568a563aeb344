"""Chromium in namespaces of its own: where it is, and the command that starts it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from facets.browser.errors import BrowserUnavailable
from facets.sandbox import filtering, locating
from facets.sandbox.errors import SandboxUnavailable
from facets.sandbox.starting import system

_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_OWN = frozenset({"ptrace", "unshare", "memfd_create", "shmget", "process_vm_readv"})
"""Calls with which Chromium builds the walls between its own processes, inside of these."""
ARGUMENTS = (
    # Should it ever reach a network: names are not found, and there is no proxy at that port.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--proxy-server=http://127.0.0.1:9",
    "--proxy-bypass-list=<-loopback>",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--renderer-process-limit=4",
    "--disable-gpu",
)
_DROP = "import os,sys;u=int(sys.argv[1]);os.setgroups([]);os.setresgid(u,u,u);os.setresuid(u,u,u)"


def chromium(given: str | None) -> str:
    """The program; `BrowserUnavailable` if there is none."""
    for path in (given,) if given else map(shutil.which, _NAMES):
        if path and locating.reachable(path):
            return path
    raise BrowserUnavailable(
        f"Chromium is not here{f': {given}' if given else ''}",
        hint="apt-get install chromium-headless-shell, or Browser(program=...)",
    )


def wrapper(folder: Path, program: str | None) -> Path:
    """A script in `folder` that playwright starts in the place of Chromium.

    It notes its process id in `pid`, drops root, and becomes bubblewrap. The descriptors that
    playwright speaks over pass through all of them.
    """
    if find_spec("playwright") is None:
        raise BrowserUnavailable(
            "a browser needs playwright", hint="pip install 'facets-runtime[browser]'"
        )
    folder.chmod(0o755)  # the script in it is run, and read, by another user
    try:
        words = [locating.bubblewrap(None), *_namespaces(), chromium(program)]
        (folder / "filter").write_bytes(filtering.program(_OWN))
    except SandboxUnavailable as error:
        raise BrowserUnavailable(error.message, hint=error.hint) from error
    if not os.geteuid():
        code = f"{_DROP};os.execv(sys.argv[2],sys.argv[2:])"
        words = [sys.executable, "-I", "-S", "-c", code, str(locating.UID), *words]
    script = folder / "chromium"
    script.write_text(
        f"#!/bin/sh\necho $$ > {shlex.quote(str(folder / 'pid'))}\n"
        f'exec {shlex.join(words)} "$@" 9< {shlex.quote(str(folder / "filter"))}\n'
    )
    script.chmod(0o755)
    return script


def _namespaces() -> list[str]:
    return [
        "--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000", "--die-with-parent",
        "--new-session", "--clearenv", "--setenv", "HOME", "/tmp", "--cap-drop", "ALL",
        "--seccomp", "9", *system(("/etc/fonts", "/etc/chromium.d")),
        "--proc", "/proc", "--dev", "/dev", "--size", str(256 << 20), "--tmpfs", "/dev/shm",
        "--size", str(256 << 20), "--tmpfs", "/tmp", "--remount-ro", "/", "--",
    ]  # fmt: skip
