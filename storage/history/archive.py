"""The histories of all trees of a host, and the limit on all of them together.

history/XX/UID/    the files of one tree, by the uid of its root, in 256 folders
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary

from storage.disk import Disk
from storage.history.bookmark import START, Bookmark, Mark
from storage.history.file import listed, unbroken
from storage.history.log import TreeLog
from storage.limits import HistoryLimits

RECENT = 256
"""Logs kept open in memory; each takes a few hundred bytes."""


class _Stat(NamedTuple):
    """A file that holds something."""

    written: int
    """When last, in microseconds since 1970."""
    uid: int
    size: int


class Archive:
    """The folder `history` of a state directory. Nothing is read before it is asked for.

    Methods block and may be called from any thread.
    """

    def __init__(
        self, disk: Disk, directory: Path, limits: HistoryLimits, begins: Mark = START
    ) -> None:
        """`begins`: what the trees without a folder begin with."""
        self._begins = begins
        self.disk = disk
        self.directory = directory
        self.limits = limits
        self._logs: WeakValueDictionary[int, TreeLog] = WeakValueDictionary()
        self._recent: OrderedDict[int, TreeLog] = OrderedDict()
        """Logs used last: opening one again would mean to read through its newest file."""
        self._lock = threading.Lock()

    def tree(self, uid: int) -> TreeLog:
        """The history of the tree with this root; always the same log while one is in use.

        The first time its newest file is looked through. `StateFormat` if the folder holds
        what this version cannot read.
        """
        with self._lock:
            found = self._logs.get(uid)
            if found is None:
                found = self._logs[uid] = TreeLog(
                    self.disk, self._folder(uid), self.limits, self._begins
                )
            self._recent[uid] = found
            self._recent.move_to_end(uid)
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)
            return found

    def trees(self) -> Iterator[int]:
        """Uids of the roots that have a history, in no order."""
        for folder in _folders(self.directory):
            yield from (int(tree.name) for tree in _folders(folder))

    def forget(self, uid: int) -> None:
        """Remove the history of a tree; its log must not be used again."""
        folder = self._folder(uid)
        for file in listed(folder):
            self.disk.unlink(file.path)
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()
        with self._lock:
            self._logs.pop(uid, None)
            self._recent.pop(uid, None)

    def begins_behind(self, bookmark: Bookmark, uids: int) -> bool:
        """Whether no tree, of those with a root below `uids`, can be restored to a state that it
        had before `bookmark` and not at it. Only names and sizes are read."""
        return not any(uid < uids and self._reaches(uid, bookmark) for uid in self.trees())

    def _reaches(self, uid: int, bookmark: Bookmark) -> bool:
        try:
            files = unbroken(listed(self._folder(uid)))
            holds = any(file.path.stat().st_size for file in files)
        except FileNotFoundError:  # dropped meanwhile
            return True
        return holds and files[0].base.bookmark < bookmark

    def enforce(self, now: int) -> int:
        """Apply all limits, to trees at rest too; the bytes that histories have afterwards.

        Over the host's limit the files written longest ago go first, whichever tree they are
        of. Looks at the name and size of every file, so it belongs on a thread, now and then.
        `now` is in microseconds since 1970.
        """
        files: list[_Stat] = []
        for uid in self.trees():
            found = self._stats(uid)
            if self._is_due(found, now):
                self.tree(uid).trim(now)
                found = self._stats(uid)
            files += found
        total = sum(file.size for file in files)
        for file in sorted(files):
            if total <= self.limits.host:
                break
            total -= self.tree(file.uid).drop_oldest()
        return total

    def _is_due(self, files: list[_Stat], now: int) -> bool:
        """Whether a tree may have something to drop: the cheap question, most have not."""
        since = now - int(self.limits.age * 1_000_000)
        old = any(file.written <= since for file in files)
        return old or sum(file.size for file in files) > self.limits.size

    def _stats(self, uid: int) -> list[_Stat]:
        stats = [file.path.stat() for file in listed(self._folder(uid))]
        return [
            _Stat(stat.st_mtime_ns // 1000, uid, stat.st_size) for stat in stats if stat.st_size
        ]

    def _folder(self, uid: int) -> Path:
        return self.directory / f"{uid & 255:02x}" / str(uid)


def _folders(path: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return list(path.iterdir())
    return []
