"""A tree as it was: the present, with everything after a bookmark undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from zlib import crc32

from storage.errors import HistoryCorrupt
from storage.history.block import Changed, Entry, Happened, Node
from storage.history.bookmark import Bookmark
from storage.history.delta import to_page, unpack
from storage.history.encode import NOTHING, Image
from storage.history.scan import Damage, Located
from storage.history.view import TreeView
from storage.pages import normalise

WINDOW = 16384
"""Pages worked on at a time, 64 MiB: what a restore needs in memory, however large the file."""

Current = Callable[[int], Image]


@dataclass(frozen=True, slots=True)
class PastDatabase:
    """One actor of a tree as it was."""

    uid: int
    node: Node
    size: int
    """Pages of its database; 0 for an actor without a file."""
    _undoing: _Undoing

    @property
    def undone(self) -> bool:
        """Whether something happened to it since."""
        return bool(self._undoing.blocks)

    @property
    def generation(self) -> int:
        """The newest generation that the history has of it; 0 if nothing was undone."""
        return max([block.header.generation for block in self._undoing.blocks], default=0)

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Every page by number, ascending, with zeros in its gap.

        Read as they are taken, newest delta first: the present must not change meanwhile.
        Each page that was undone is checked. HistoryCorrupt, BookmarkGone if retention
        dropped a file since.
        """
        for low in range(1, self.size + 1, WINDOW):
            yield from self._undoing.window(low, min(low + WINDOW, self.size + 1))


@dataclass(frozen=True, slots=True)
class TreeState:
    """A tree at a bookmark."""

    bookmark: Bookmark
    databases: dict[int, PastDatabase]
    """All actors that lived, by uid; those without a file too."""


def rewind(
    log: TreeView, nodes: Mapping[int, Node], current: Current, bookmark: Bookmark
) -> TreeState:
    """The tree at a bookmark. Reads, and changes nothing.

    `nodes` are the actors that live now; `current` gives the database of each (of size 0 for
    one without a file), exactly as the newest appended change left it: what is committed and
    not yet appended must be appended first.

    BookmarkGone if the history does not reach back that far or has joined the bookmark with
    later ones; HistoryCorrupt if it is damaged on the way, or does not fit what `current`
    gives. A bookmark newer than the history is the present.
    """
    if bookmark < log.oldest.bookmark:
        raise log.gone(bookmark)
    undone: dict[int, _Undoing] = {}

    def begin(uid: int) -> _Undoing:
        if uid not in undone:
            present = current(uid) if uid in nodes else NOTHING
            undone[uid] = _Undoing(log, uid, bookmark, nodes.get(uid), present, present.size)
        return undone[uid]

    for block in log.walk(bookmark):
        if isinstance(block, Damage):
            if block.upto > bookmark:
                raise log.corrupt(block)
        elif block.header.newest.bookmark > bookmark:
            begin(block.header.uid).undo(block)
    for uid in nodes:
        begin(uid)
    return TreeState(bookmark, {
        uid: PastDatabase(uid, one.node, one.size, one)
        for uid, one in sorted(undone.items())
        if one.node is not None
    })  # fmt: skip


@dataclass(slots=True)
class _Undoing:
    """One database on its way back."""

    log: TreeView
    uid: int
    bookmark: Bookmark
    node: Node | None
    present: Image
    size: int
    blocks: list[Located] = field(default_factory=list)
    """Those with something to undo, newest first."""
    last: Changed | None = None

    def undo(self, block: Located) -> None:
        """Go back over the entries of a block, but for the pages."""
        self.blocks.append(block)
        for entry in self._entries(block):
            if isinstance(entry, Changed):
                self._resize(entry, block)
            else:
                self.node = None if entry.kind is Happened.CREATED else entry.node

    def window(self, low: int, high: int) -> Iterator[tuple[int, bytes]]:
        """The pages from `low` up to, not including, `high`."""
        mixed, checks = self._mix(low, high)
        for number in range(low, high):
            value = mixed.get(number)
            page = self._read(number) if value is None else to_page(value)
            if checks.get(number, crc32(page)) != crc32(page):
                raise self._misfit(
                    f"does not fit page {number} of database {self.uid}", self.blocks[0]
                )
            yield number, page

    def _mix(self, low: int, high: int) -> tuple[dict[int, int], dict[int, int]]:
        """The pages of a window that were undone, as numbers, and the crc that each must have."""
        mixed: dict[int, int] = {}
        checks: dict[int, int] = {}
        for entry in chain.from_iterable(self._entries(block) for block in self.blocks):
            if not isinstance(entry, Changed):
                continue
            for number, crc, data in entry.pages:
                if low <= number < high:
                    value = unpack(data)
                    if number <= entry.floor:
                        value ^= mixed[number] if number in mixed else self._number(number)
                    mixed[number], checks[number] = value, crc
        return mixed, checks

    def _number(self, number: int) -> int:
        return int.from_bytes(self._read(number), "little")

    def _read(self, number: int) -> bytes:
        """A page of the present."""
        if number > self.present.size:
            what = f"does not say what page {number} of database {self.uid} was"
            raise self._misfit(what, self.blocks[0])
        return normalise(self.present.read(number), number)

    def _resize(self, entry: Changed, block: Located) -> None:
        if entry.since <= self.bookmark:
            raise self.log.joined(self.bookmark, entry.mark.bookmark)
        last, self.last = self.last, entry
        if last is not None and last.mark == entry.mark and last.before == entry.before:
            return  # another part of the same change
        late = last is not None and last.mark.bookmark < entry.mark.bookmark
        if entry.after != self.size or late:
            what = f"has a change to {entry.after} pages where database {self.uid} had {self.size}"
            raise self._misfit(what, block)
        self.size = entry.before

    def _entries(self, block: Located) -> Iterator[Entry]:
        """What there is to undo of a block, newest first."""
        entries = reversed(self.log.entries(block))
        return (one for one in entries if one.mark.bookmark > self.bookmark)

    def _misfit(self, what: str, block: Located) -> HistoryCorrupt:
        return self.log.corrupt(Damage(block.file, block.at, block.header.newest.bookmark), what)
