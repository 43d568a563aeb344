"""After this, the host is intact: what of the process must be as it was before an attack."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from facets.isolates.instance import _instances

OURS = ("facets-", "MainThread", "asyncio_", "AnyIO", "pytest")
"""Threads that may be there."""


class Host:
    """The process as it is now. `check` raises if it is another one later."""

    def __init__(self) -> None:
        self._files = _descriptors()
        self._state = _state()
        self._children = _children()

    async def check(self, sessions: Iterable[Any] = ()) -> None:
        """Nothing of these sessions, which are closed, is left, and the process is the same.

        A thread that is in the middle of a slice frees its instance at the end of it, so this
        waits for what is let go of soon.
        """
        numbers = [getattr(one._runner._instance, "_number", None) for one in sessions]
        current = asyncio.current_task()
        async with asyncio.timeout(10):
            while any(number in _instances for number in numbers) or any(
                task is not current and _is_ours(task) for task in asyncio.all_tasks()
            ):
                await asyncio.sleep(0)
        for session in sessions:
            assert not session.alive
            assert len(getattr(session, "_serving", ())) == 0
            assert len(getattr(session, "_grants", ())) == 0
        now = _state()
        changed = [name for name in now if now[name] != self._state[name]]
        assert changed == [], changed
        strangers = [one.name for one in threading.enumerate() if not one.name.startswith(OURS)]
        assert strangers == [], strangers
        children = _children() - self._children
        assert children == set(), children
        new = _descriptors() - self._files
        assert new == set(), new


def _is_ours(task: asyncio.Task[Any]) -> bool:
    return "Serving._run" in repr(task.get_coro()) or "_Begun" in repr(task.get_coro())


def _state() -> dict[str, object]:
    """What code that got out of its isolate would be the first to change."""
    return {
        "folder": Path.cwd(),
        "environment": {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"},
        "path": list(sys.path),
        "recursion": sys.getrecursionlimit(),
        "trace": sys.gettrace(),
        "hook": sys.excepthook,
        "signal": signal.getsignal(signal.SIGTERM),
        "builtins": set(vars(__import__("builtins"))) - {"_"},
    }


def _descriptors() -> set[str]:
    """What is open, but for what the memory of the guests is mapped from."""
    found = set()
    for one in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):  # the one that lists them
            target = str(one.readlink())
            if target.startswith("/") and not target.startswith(("/memfd:", "/proc/")):
                found.add(f"{one.name} {target}")
    return {one for one in found if not one.endswith(".native")}


def _children() -> set[str]:
    """Processes that this one started."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
