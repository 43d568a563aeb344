"""A disk that knows what is on its platter, and what a power loss may leave of the rest.

SIGKILL never loses the page cache, so it cannot show a missing sync. This disk does: it keeps,
beside the real files, what is *on the platter* of each:

- content reaches it by `sync`, by a write through a descriptor with O_DSYNC or O_SYNC, or by
  `write_back`, as the kernel may do at any time;
- a name (create, rename, link, unlink, and mkdir by whoever) reaches it by `sync_directory`.

`crash` writes another directory as a machine could find it after the power came back: of each
file every 512-byte sector or 4096-byte page that differs is the platter's or the page cache's,
its length one of the two; of the pending changes of names any subset happened. A file whose
name got there and whose content did not is empty or full of holes. SQLite's files are in it
too: it writes them behind this disk's back and never syncs them, so that a -wal may be missing,
stale or mixed, and one that was removed may be back.

Not modelled: sectors that are neither old nor new, damage to what was once on the platter, and
renames that happened by half.
"""

from __future__ import annotations

import os
import random
import threading
from dataclasses import dataclass, field
from pathlib import Path

from storage.disk import Buffer, Disk

_DURABLE_FLAGS = os.O_DSYNC | os.O_SYNC
_WRITE_THROUGH = _DURABLE_FLAGS | getattr(os, "O_DIRECT", 0)
_GRAINS = (512, 4096)
_COARSE = 1 << 16


@dataclass(eq=False, slots=True)
class _File:
    """One file, whatever its names."""

    platter: bytearray = field(default_factory=bytearray)
    last: bytes | None = None
    """The page cache's content when it lost its last name."""

    def put(self, data: Buffer, at: int) -> None:
        """These bytes are on the platter."""
        if at > len(self.platter):
            self.platter.extend(bytes(at - len(self.platter)))
        self.platter[at : at + len(data)] = data


@dataclass(eq=False, slots=True)
class _Change:
    """A change of names: gone from `source`, there as `target`. It happens as a whole."""

    source: Path | None
    target: Path | None
    file: _File

    def apply(self, names: dict[Path, _File]) -> None:
        """Do it, if what was done before did not make it void."""
        if self.source is not None and names.get(self.source) is self.file:
            del names[self.source]
        if self.target is not None:
            names[self.target] = self.file

    @property
    def directory(self) -> Path:
        """Whose sync makes it durable."""
        path = self.target or self.source
        assert path is not None  # noqa: S101 - it has one of the two
        return path.parent


class PowerLossDisk(Disk):
    """The disk of everything below `root`; what is there already is on the platter.

    Nothing is really synced, so it is fast, and only the model is durable. Thread-safe: every
    operation holds one lock. `crash` must not meet SQLite at work on another thread.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.RLock()
        self._fds: dict[int, tuple[Path, _File, bool]] = {}
        self._pending: list[_Change] = []
        self._now = {path: _File(bytearray(path.read_bytes())) for path in _files(root)}
        self._names = dict(self._now)
        """Names on the platter."""
        self._directories = set(_directories(root))
        """Directories whose own name is on the platter."""

    # -- operations -----------------------------------------------------------------------

    def open(self, path: Path, flags: int, mode: int = 0o600) -> int:
        """A descriptor; with O_DSYNC or O_SYNC its writes are on the platter at once."""
        with self._lock:
            there = path.exists()
            fd = super().open(path, flags & ~_WRITE_THROUGH, mode)
            if not there:
                self._gone(path)
            self._fds[fd] = path, self._known(path), bool(flags & _DURABLE_FLAGS)
            return fd

    def close(self, fd: int) -> None:
        """Close a descriptor; nothing is synced by it."""
        with self._lock:
            del self._fds[fd]
            super().close(fd)

    def write(self, fd: int, data: Buffer, at: int) -> None:
        """Into the page cache, or through it."""
        with self._lock:
            super().write(fd, data, at)
            _, file, durable = self._fds[fd]
            if durable:
                file.put(memoryview(data).cast("B"), at)

    def cache(self, fd: int, data: Buffer, at: int) -> None:
        """A write that was cut short: it got into the page cache, whatever the descriptor."""
        with self._lock:
            super().write(fd, data, at)

    def sync(self, fd: int) -> None:
        """All of the file is on the platter; of whoever wrote it."""
        with self._lock:
            self._fds[fd][1].platter[:] = Path(f"/proc/self/fd/{fd}").read_bytes()

    def truncate(self, fd: int, size: int) -> None:
        """In the page cache, whatever the descriptor."""
        with self._lock:
            super().truncate(fd, size)

    def sync_directory(self, path: Path) -> None:
        """Every change of names in it is on the platter."""
        with self._lock:
            self._notice()
            self._directories.update(one for one in path.iterdir() if one.is_dir())
            done = self._settled_by(path)
            settled: set[Path | None] = set()
            pending: list[_Change] = []
            for change in reversed(self._pending):
                if change in done:
                    settled.add(change.target)
                elif change.target is None or change.target not in settled:
                    pending.append(change)  # otherwise what took its name is on the platter
            for change in [one for one in self._pending if one in done]:
                change.apply(self._names)
            self._pending = pending[::-1]

    def rename(self, source: Path, target: Path) -> None:
        """Durable, as a whole, with the target's directory."""
        with self._lock:
            file = self._known(source)
            self._leaves(target)
            super().rename(source, target)
            self._now[target] = self._now.pop(source)
            self._pending.append(_Change(source, target, file))

    def link(self, source: Path, target: Path) -> None:
        """Durable with the target's directory."""
        with self._lock:
            file = self._known(source)
            super().link(source, target)
            self._now[target] = file
            self._pending.append(_Change(None, target, file))

    def unlink(self, path: Path) -> None:
        """Durable with its directory; until then it may come back."""
        with self._lock:
            self._leaves(path)
            super().unlink(path)
            self._gone(path)

    def read_file(self, path: Path) -> bytes:
        """What the page cache holds."""
        with self._lock:
            return super().read_file(path)

    # -- the model ------------------------------------------------------------------------

    def write_back(self, rng: random.Random) -> None:
        """The kernel writes some dirty sectors of some files to the platter, in any order."""
        with self._lock:
            for path, file in self._now.items():
                if path.exists() and rng.random() < 0.5:
                    file.platter[:] = _mixed(file.platter, path.read_bytes(), rng)

    def crash(self, rng: random.Random, target: Path) -> None:
        """Write a possible image of `root` after a power loss into `target`, which is new.

        Nothing here changes; the caller stops using what it opened on this disk.
        """
        with self._lock:
            self._notice()
            kept = self._surviving_directories(rng)
            for path in kept:
                (target / path.relative_to(self.root)).mkdir()
            for path, file in self._surviving_names(rng).items():
                if path.parent in kept:
                    image = _mixed(file.platter, self._content(file), rng)
                    (target / path.relative_to(self.root)).write_bytes(image)

    def _settled_by(self, directory: Path) -> set[_Change]:
        """Changes in this directory, and what happened before to the files they are about."""
        done: set[_Change] = set()
        files: set[_File] = set()
        for change in reversed(self._pending):
            if change.directory == directory or change.file in files:
                done.add(change)
                files.add(change.file)
        return done

    def _surviving_directories(self, rng: random.Random) -> list[Path]:
        kept: list[Path] = []
        for path in _directories(self.root):
            here = path in self._directories or rng.random() < 0.5
            if path == self.root or (here and path.parent in kept):
                kept.append(path)
        return kept

    def _surviving_names(self, rng: random.Random) -> dict[Path, _File]:
        likely = rng.choice((0.0, 0.5, 1.0, rng.random()))
        names = dict(self._names)
        for change in self._pending:
            if rng.random() < likely:
                change.apply(names)
        return names

    def _content(self, file: _File) -> bytes:
        for path, known in self._now.items():
            if known is file:
                return path.read_bytes()
        return bytes(file.platter) if file.last is None else file.last

    def _notice(self) -> None:
        """Learn which files were made and removed behind our back."""
        for path in [path for path in self._now if not path.exists()]:
            self._gone(path)
        for path in _files(self.root):
            self._known(path)

    def _gone(self, path: Path) -> None:
        file = self._now.pop(path, None)
        if file is not None:
            self._pending.append(_Change(path, None, file))

    def _known(self, path: Path) -> _File:
        """The file of this name; one that was made behind our back is not on the platter."""
        file = self._now.get(path)
        if file is None:
            file = self._now[path] = _File()
            self._pending.append(_Change(None, path, file))
        return file

    def _leaves(self, path: Path) -> None:
        """This name is about to go; remember what the page cache has of the file."""
        if path.exists():
            self._known(path).last = path.read_bytes()


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def _directories(root: Path) -> list[Path]:
    """Parents before children."""
    return [root, *sorted(path for path in root.rglob("*") if path.is_dir())]


def _mixed(old: bytes | bytearray, new: bytes, rng: random.Random) -> bytes:
    """A file of which some differing sectors are old and some are new."""
    if old == new:
        return new
    likely = rng.choice((0.0, 0.5, 1.0, rng.random()))
    grain = rng.choice(_GRAINS)
    mixed = bytearray(len(new) if rng.random() < likely else len(old))
    for coarse in range(0, len(mixed), _COARSE):
        end = min(coarse + _COARSE, len(mixed))
        if old[coarse:end] == new[coarse:end]:
            mixed[coarse:end] = new[coarse:end]
            continue
        for at in range(coarse, end, grain):
            stop = min(at + grain, end)
            source = new if rng.random() < likely else old
            mixed[at:stop] = source[at:stop].ljust(stop - at, b"\0")
    return bytes(mixed)
