"""The history of one tree: a folder of block files, added to at the end, dropped at the front.

An append is durable when it returns and happens as a whole or not at all. When it fails, the
file it wrote to is left as it is and the next append begins another one, whose name says how
much of that file counts: a descriptor whose sync failed is never trusted again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from storage.disk import Disk
from storage.history.block import Block, encode, seed
from storage.history.bookmark import START, Mark
from storage.history.file import BlockFile, listed, unbroken
from storage.history.scan import Tail, find_tail
from storage.history.shape import Shape
from storage.history.view import TreeView
from storage.limits import HistoryLimits

FILE = 8 << 20
"""Bytes after which a file is full."""
SHARE = 16
"""A file holds at most this part of a tree's size and age: dropping it costs no more."""


class TreeLog(TreeView):
    """What happened to the databases of one tree, for walking backwards.

    One thread may append, trim and cut while another reads; further ones wait. Every method
    blocks. A tree that had state before its history began needs `cut` first, with the newest
    bookmark it had; a tree whose folder is missing begins at `begins`: at `ORIGIN`, as nothing.
    """

    def __init__(
        self, disk: Disk, folder: Path, limits: HistoryLimits, begins: Mark = START
    ) -> None:
        self.folder = folder
        self.limits = limits
        self._lock = threading.Lock()
        files = unbroken(listed(folder))
        tail = find_tail(disk, files[-1]) if files else Tail(0, False, 0, begins, 0)
        super().__init__(disk, Shape(files, tail))

    def append(self, blocks: Iterable[Block]) -> None:
        """Add blocks, all of them or none. Durable on return.

        The blocks of one database must come in the order of its commits, over all appends;
        those of different databases in any order. They are taken one by one, so a generator
        of many needs no memory. Full and overdue files are dropped on the way.

        OSError if the disk refuses: nothing was added, and the same may be appended again.
        Only if the process ends before that can it be there; `recorded` says so.
        """
        with self._lock:
            if self._is_full():
                # Before the write: once that is done nothing may raise.
                self._trim(self.newest.time)
            try:
                self._append(blocks)
            except BaseException:
                self._shape = replace(self._shape, tail=self._shape.tail._replace(torn=True))
                raise

    def trim(self, now: int) -> None:
        """Drop what is over the limits; `now` in microseconds since 1970."""
        with self._lock:
            self._trim(now)

    def drop_oldest(self) -> int:
        """Drop the oldest file that holds anything, for room; the bytes it had, 0 if none."""
        with self._lock:
            sizes = [section.end for section in reversed(self._shape.sections)]
            count = next((n for n, size in enumerate(sizes, 1) if size), 0)
            self._drop(count)
            return sum(sizes[:count])

    def cut(self, mark: Mark) -> None:
        """Forget all that is older: from now on `mark`, or the newest entry if that is newer,
        is the oldest bookmark. For what no delta can lead back through."""
        with self._lock:
            self._seal(_later(mark, self.newest), skip=1)
            self._drop(len(self._shape.files) - 1)

    def _append(self, blocks: Iterable[Block]) -> None:
        files, tail = self._shape.files, self._shape.tail
        fresh = self._is_full()
        file = self._successor(tail.newest) if fresh else files[-1]
        tail = self._write(file, Tail(0, False, 0, tail.newest, 0) if fresh else tail, blocks)
        if tail.group:
            self._shape = Shape((*files, file) if fresh else files, tail)

    def _is_full(self) -> bool:
        """Whether the next append begins a file."""
        files, tail = self._shape.files, self._shape.tail
        if not files or tail.torn or not tail.group:
            return not files or tail.torn
        age = int(self.limits.age * 1_000_000) // SHARE
        full = tail.end >= min(FILE, self.limits.size // SHARE)
        return full or tail.newest.time - tail.begun > age

    def _successor(self, base: Mark, skip: int = 0) -> BlockFile:
        files = self._shape.files
        ordinal = 1 + skip + (files[-1].ordinal if files else 0)
        return BlockFile(self.folder, ordinal, base, self._shape.tail.end)

    def _write(self, file: BlockFile, tail: Tail, blocks: Iterable[Block]) -> Tail:
        """Write one group behind `tail` and sync it; where the file ends now."""
        pending = iter(blocks)
        block = next(pending, None)
        if block is None:
            return tail
        first = not tail.group
        made = first and self._make_folder()
        tail = tail._replace(group=tail.group + 1, begun=tail.begun or block.oldest.time)
        fd = self.disk.open(file.path, os.O_WRONLY | (os.O_CREAT | os.O_TRUNC if first else 0))
        try:
            while block is not None:
                after = next(pending, None)
                tail = self._write_block(fd, file, tail, block, after is not None)
                block = after
            self.disk.sync(fd)
        finally:
            self.disk.close(fd)
        if first:
            self._sync_names(made)
        return tail

    def _write_block(self, fd: int, file: BlockFile, tail: Tail, block: Block, more: bool) -> Tail:
        place = seed(file.seed, tail.end)
        data = encode(block, tail.newest.bookmark, tail.group, more, place)
        self.disk.write(fd, data, tail.end)
        newest = _later(tail.newest, block.newest)
        return tail._replace(end=tail.end + len(data), newest=newest)

    def _make_folder(self) -> bool:
        made = not self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        return made

    def _sync_names(self, made: bool) -> None:
        self.disk.sync_directory(self.folder)
        if made:
            for folder in list(self.folder.parents)[:2]:
                self.disk.sync_directory(folder)

    def _seal(self, base: Mark, skip: int = 0) -> None:
        """Begin an empty file, so that all others can go; a skipped ordinal voids them at once."""
        file = self._successor(base, skip)
        made = self._make_folder()
        self.disk.write_file(file.path, b"", sync=True)
        self._sync_names(made)
        self._shape = Shape((*self._shape.files, file), Tail(0, False, 0, base, 0))

    def _trim(self, now: int) -> None:
        since = now - int(self.limits.age * 1_000_000)
        size, count = self.size, 0
        for section in reversed(self._shape.sections):
            young = section.newest.time > since
            if not size or (young and size <= self.limits.size):
                break
            size -= section.end
            count += 1
        self._drop(count)

    def _drop(self, count: int) -> None:
        """Forget the oldest files. Names that a crash brings back are ignored: `unbroken`."""
        if not count:
            return
        if count == len(self._shape.files):
            self._seal(self.newest)
        dropped, kept = self._shape.files[:count], self._shape.files[count:]
        self._shape = Shape(kept, self._shape.tail)
        for file in dropped:
            self.disk.unlink(file.path)


def _later(one: Mark, other: Mark) -> Mark:
    return Mark(max(one.bookmark, other.bookmark), max(one.time, other.time))
