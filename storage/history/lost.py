"""What a crash kept from being told, out of the journal's records.

Called by recovery before the records are laid over the files: a commit that was not told was
never moved into its file, so the file, with the told commits of the journal laid over it, is
what the first untold one changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from storage import record
from storage.disk import Disk
from storage.frames import Commit
from storage.history.archive import Archive
from storage.history.block import Block, Node
from storage.history.bookmark import Bookmark, Mark
from storage.history.encode import (
    NOTHING,
    Change,
    Image,
    bound,
    changed,
    created,
    deleted,
    moved,
)
from storage.history.story import bookmark
from storage.layout import Layout
from storage.limits import PAGE_SIZE
from storage.pages import MAX_PAGES, ZERO
from storage.record import Entry, Record

Happening = tuple[Mark, Entry]


def tell_lost(disk: Disk, layout: Layout, archive: Archive, records: Sequence[Record]) -> None:
    """Add to the histories what they lack of these records. Durable on return; repeatable."""
    trees: dict[int, dict[int, list[Happening]]] = {}
    for one in records:
        mark = bookmark(one.made, one.sequence, one.time)
        for entry in one.entries():
            if entry.uid:
                trees.setdefault(entry.tree, {}).setdefault(entry.uid, []).append((mark, entry))
    for tree, uids in trees.items():
        if any(entry.kind == record.FORGET for _, entry in uids.get(tree, ())):
            archive.forget(tree)
            continue
        log = archive.tree(tree)
        if _are_too_large(layout, uids):
            log.cut(max(mark for found in uids.values() for mark, _ in found))
            continue
        known = log.recorded(uids)
        log.append(
            block
            for uid, found in uids.items()
            for block in _Database(disk, layout, uid).blocks(found, known[uid])
        )


def _are_too_large(layout: Layout, uids: Mapping[int, Sequence[Happening]]) -> bool:
    """Whether a database that these records are about is, or was, too large for a history."""
    for uid, found in uids.items():
        for _, entry in found:
            if entry.commit is not None and entry.commit.size >= MAX_PAGES:
                return True
        entries = [entry for _, entry in found]
        generations = {g for entry in entries for g in (entry.generation, entry.replaces) if g}
        if any(_pages(layout.path(uid, one)) >= MAX_PAGES for one in generations):
            return True
    return False


def _pages(path: Path) -> int:
    return path.stat().st_size // PAGE_SIZE if path.exists() else 0


class _Database:
    """One database while its records are gone through."""

    def __init__(self, disk: Disk, layout: Layout, uid: int) -> None:
        self._disk = disk
        self._layout = layout
        self._uid = uid
        self._generation = 1
        self._pages: dict[int, bytes] = {}
        """The newest image of each page that records gone through have."""
        self._size: int | None = None
        """None: as many as its file."""
        self._run: list[Change] = []

    def blocks(self, happened: Sequence[Happening], known: Bookmark) -> Iterator[Block]:
        for mark, entry in happened:
            if entry.kind == record.PAGES:
                self._generation = entry.generation
                assert entry.commit is not None  # noqa: S101 - by its kind
                self._commit(mark, entry.commit, mark.bookmark > known)
                continue
            yield from self._flush()
            if mark.bookmark > known:
                yield from self._event(mark, entry)
            if entry.kind != record.MOVE:
                self._begin(entry)
        yield from self._flush()

    def _commit(self, mark: Mark, commit: Commit, new: bool) -> None:
        if new:
            self._run.append(Change(mark, self._last_size(), commit))
        else:
            self._pages.update(commit.pages)
            self._size = commit.size

    def _last_size(self) -> int:
        if self._run:
            return self._run[-1].commit.size
        return self._file_size(self._generation) if self._size is None else self._size

    def _flush(self) -> Iterator[Block]:
        """Tell the run of commits, and count them among what went before."""
        if self._run:
            yield from changed(self._uid, self._generation, self._run, self._reader())
            for one in self._run:
                self._pages.update(one.commit.pages)
            self._size = self._run[-1].commit.size
            self._run = []

    def _event(self, mark: Mark, entry: Entry) -> Iterator[Block]:
        node = Node(*entry.place)
        if entry.kind == record.DELETE:
            self._generation = entry.generation  # no commit may have said it
            exists = bool(self._pages) or self._path(entry.generation).exists()
            image = Image(self._last_size(), self._reader()) if exists else None
            yield from deleted(self._uid, entry.generation, mark, node, image)
        elif entry.kind == record.MOVE:
            yield moved(self._uid, entry.generation, mark, node)
        elif entry.kind == record.ROW:
            yield created(self._uid, entry.generation, mark, node)
        elif entry.kind == record.BIND and entry.replaces:
            self._generation = entry.replaces
            old = Image(self._last_size(), self._reader())
            yield from bound(self._uid, entry.generation, mark, old, self._file(entry.generation))
        elif entry.kind == record.BIND:
            first = Change(mark, 0, Commit(self._file_size(entry.generation), {}))
            yield from changed(self._uid, entry.generation, [first], NOTHING.read)

    def _begin(self, entry: Entry) -> None:
        """After an event the database is another one."""
        self._generation = entry.generation
        self._pages = {}
        self._size = None if entry.kind == record.BIND else 0

    def _path(self, generation: int) -> Path:
        return self._layout.path(self._uid, generation)

    def _file_size(self, generation: int) -> int:
        return _pages(self._path(generation))

    def _file(self, generation: int) -> Image:
        return Image(self._file_size(generation), _page_of(self._disk, self._path(generation)))

    def _reader(self) -> Callable[[int], bytes]:
        pages, beneath = dict(self._pages), _page_of(self._disk, self._path(self._generation))
        return lambda number: pages.get(number) or beneath(number)


def _page_of(disk: Disk, path: Path) -> Callable[[int], bytes]:
    def page(number: int) -> bytes:
        if not path.exists():
            return ZERO
        fd = disk.open(path, os.O_RDONLY)
        try:
            return disk.read(fd, PAGE_SIZE, (number - 1) * PAGE_SIZE) or ZERO
        finally:
            disk.close(fd)

    return page
