"""What the tests of the storage core share: small actors, crashes, and disks that stop."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage import Store
from storage.database import Database
from storage.disk import Buffer, Disk
from storage.limits import JournalLimits
from storage.segment import Segment

SMALL = JournalLimits(segment=64 << 10, size=256 << 10, backlog=128 << 10)
"""Many segments, soon full."""


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segment files of 64 KiB: a crash is a copy of them."""
    monkeypatch.setattr("storage.segment.STEP", 64 << 10)
    monkeypatch.setattr("storage.journal.STEP", 64 << 10)


def put(database: Database, value: object) -> int:
    database.kv["x"] = value
    return database.commit()


def read(database: Database) -> object:
    value = database.kv.get("x")
    database.rollback()
    return value


def whole(database: Database) -> bool:
    found = database.sql("pragma integrity_check").value()
    database.rollback()
    return bool(found == "ok")


def image(root: Path, name: str = "") -> Path:
    """The directory as a kill at this moment leaves it."""
    target = root.with_name(name or root.name + "-crashed")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root, target)
    return target


@contextmanager
def crashed(
    store: Store, *, journal: JournalLimits | None = None, disk: Disk | None = None
) -> Iterator[Store]:
    """The store after a kill at this moment."""
    again = Store.open(image(store.directory), journal=journal, disk=disk)
    try:
        yield again
    finally:
        again.close()


def segments(root: Path) -> list[Path]:
    return sorted((root / "journal").glob("*.seg"))


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x40]))


class PowerCut(BaseException):
    """The process ended here."""


class CutDisk(Disk):
    """Ends at its n-th change of the disk: it, and everything later, does not happen.

    With `torn`, half the sectors of a write that is cut are there.
    """

    def __init__(self, after: int, *, torn: bool = False) -> None:
        self.left = after
        self.torn = torn

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise PowerCut

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        if flags & (os.O_CREAT | os.O_TRUNC) and not path.exists():
            self._count()
        return super().open(path, flags, mode)

    def write(self, fd: int, data: Buffer, at: int) -> None:
        try:
            self._count()
        except PowerCut:
            half = len(data) // 1024 * 512
            if self.torn and self.left == -1 and half:
                super().write(fd, memoryview(data)[:half], at)
            raise
        super().write(fd, data, at)

    def sync(self, fd: int) -> None:
        self._count()
        super().sync(fd)

    def truncate(self, fd: int, size: int) -> None:
        self._count()
        super().truncate(fd, size)

    def sync_directory(self, path: Path) -> None:
        self._count()
        super().sync_directory(path)

    def rename(self, source: Path, target: Path) -> None:
        self._count()
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._count()
        super().unlink(path)


class BadDisk(Disk):
    """Fails what `fails` says, with this errno: the name of the method, and the path or None."""

    def __init__(self) -> None:
        self.fails: Callable[[str, Path | None], bool] = lambda _name, _path: False
        self.errno = errno.ENOSPC
        self._paths: dict[int, Path] = {}

    def _check(self, name: str, path: Path | None) -> None:
        if self.fails(name, path):
            raise OSError(self.errno, os.strerror(self.errno), str(path))

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        self._check("open", path)
        fd = super().open(path, flags, mode)
        self._paths[fd] = path
        return fd

    def write(self, fd: int, data: Buffer, at: int) -> None:
        self._check("write", self._paths.get(fd))
        super().write(fd, data, at)

    def sync(self, fd: int) -> None:
        self._check("sync", self._paths.get(fd))
        super().sync(fd)

    def unlink(self, path: Path) -> None:
        self._check("unlink", path)
        super().unlink(path)


def no_segments(name: str, path: Path | None) -> bool:
    """Nothing of the journal grows, and none of it can be written."""
    return name == "write" and path is not None and path.suffix == ".seg"


def no_room_to_queue(patch: Callable[..., None]) -> None:
    """Make every reservation of journal space fail, as on a full disk."""

    def refuse(_self: Segment, _end: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    patch(Segment, "reserve", refuse)


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
