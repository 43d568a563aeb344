"""From commits and events to blocks: pure computation, fit for a worker thread.

The images that a change needs besides its own are those from before it: `old` gives the ones
from before the first change, as a rule from the database file, which nothing has been moved
into yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple
from zlib import crc32

from storage.frames import Commit
from storage.history.block import Block, Changed, Entry, Event, Happened, Node, PageDelta
from storage.history.bookmark import Bookmark, Mark
from storage.history.delta import delta
from storage.pages import MAX_PAGES, ZERO, normalise

PART = 256
"""Pages with a delta that one entry holds at most; a larger change is several entries."""
BLOCK = 1024
"""Pages with a delta, and entries, after which a block is full."""

ReadPage = Callable[[int], bytes]


class Image(NamedTuple):
    """A database at one moment: its size in pages, and its pages by number from 1."""

    size: int
    read: ReadPage
    """Gives 4096 bytes; called from the thread that encodes or restores."""


NOTHING = Image(0, lambda _: ZERO)
"""The database of an actor without a file."""


@dataclass(frozen=True, slots=True)
class Change:
    """One commit, or several joined by `thin`."""

    mark: Mark
    before: int
    """Size in pages before it; 0 for the first commit of a file."""
    commit: Commit
    """Size after it, and the pages it wrote, with or without their gaps."""
    since: Bookmark | None = None
    """The oldest of the commits that were joined."""
    least: int | None = None
    """The smallest size between the commits that were joined."""

    @property
    def floor(self) -> int:
        """Pages above this one were not there at one moment."""
        sizes = (self.before, self.commit.size)
        return min(sizes) if self.least is None else min(*sizes, self.least)


def thin(changes: Sequence[Change]) -> Change:
    """A run of changes as one, at least one: less to encode where pages are written again.

    For a host whose encoder is behind. The bookmark is that of the last. Those from the first
    up to it are gone for the whole tree, as one of its databases would be older than the others.
    """
    pages: dict[int, bytes] = {}
    for change in changes:
        if change.floor < change.before:
            pages = {number: page for number, page in pages.items() if number <= change.floor}
        pages.update(change.commit.pages)
    first, last = changes[0], changes[-1]
    least = min(change.floor for change in changes)
    since = first.since or first.mark.bookmark
    return Change(last.mark, first.before, Commit(last.commit.size, pages), since, least)


def changed(uid: int, generation: int, changes: Sequence[Change], old: ReadPage) -> Iterator[Block]:
    """The blocks of a run of consecutive changes of one database; none for no changes.

    `old` is asked for pages up to the first change's `before` only. ValueError if the changes
    do not continue each other, or the database has `MAX_PAGES` pages or more: such a one has
    no history (see `storage.pages`), its tree's log must be `cut`.
    """
    _check(changes)
    return _blocks(uid, generation, _entries(changes, old))


def deleted(
    uid: int, generation: int, mark: Mark, node: Node, last: Image | None
) -> Iterator[Block]:
    """The blocks of a delete; `last` is what the file held, None without a file.

    All changes before it must be encoded first. The pages go whole into the history.
    """
    if last is not None:
        yield from changed(uid, generation, [Change(mark, last.size, Commit(0, {}))], last.read)
    yield Block(uid, generation, (Event(Happened.DELETED, mark, node),))


def created(uid: int, generation: int, mark: Mark, node: Node) -> Block:
    """The block of a new actor; it comes before that of its first commit."""
    return Block(uid, generation, (Event(Happened.CREATED, mark, node),))


def moved(uid: int, generation: int, mark: Mark, was: Node) -> Block:
    """The block of an actor that was `was` and now has another parent or name, in this tree."""
    return Block(uid, generation, (Event(Happened.MOVED, mark, was),))


def bound(uid: int, generation: int, mark: Mark, old: Image, new: Image) -> Iterator[Block]:
    """The blocks of a switch of generations: to the history it is one large change.

    `generation` is that of `new`. All changes of the old generation must be encoded first.
    """
    if max(old.size, new.size) >= MAX_PAGES:
        raise ValueError("a database this large has no history")
    return _blocks(uid, generation, _replaced(mark, old, new))


def _replaced(mark: Mark, old: Image, new: Image) -> Iterator[Changed]:
    floor = min(old.size, new.size)
    pages = (
        (number, normalise(old.read(number), number), new.read(number) if number <= floor else ZERO)
        for number in range(1, old.size + 1)
    )
    yield from _parts(Changed(mark, mark.bookmark, old.size, new.size, floor, ()), pages)


def _check(changes: Sequence[Change]) -> None:
    size = changes[0].before if changes else 0
    for change in changes:
        if change.before != size:
            raise ValueError(f"a change begins at {change.before} pages, the last ended at {size}")
        size = change.commit.size
        if max(change.before, size) >= MAX_PAGES:
            raise ValueError("a database this large has no history")


def _entries(changes: Sequence[Change], old: ReadPage) -> Iterator[Changed]:
    """Each change against the images that the ones before it left."""
    images: dict[int, bytes] = {}
    floor = changes[0].before if changes else 0

    def image(number: int) -> bytes:
        found = images.get(number)
        if found is None:
            # Nothing wrote the page since its database was too small for it: it means nothing.
            found = ZERO if number > floor else normalise(old(number), number)
        return found

    for change in changes:
        yield from _entry(change, image)
        floor = min(floor, change.floor)
        for number in [number for number in images if number > change.floor]:
            del images[number]
        for number, page in change.commit.pages.items():
            images[number] = normalise(page, number)


def _entry(change: Change, image: ReadPage) -> Iterator[Changed]:
    floor, written = change.floor, change.commit.pages
    stayed = ((n, image(n), written[n]) for n in sorted(written) if n <= floor)
    gone = ((n, image(n), ZERO) for n in range(floor + 1, change.before + 1))
    since = change.since or change.mark.bookmark
    whole = Changed(change.mark, since, change.before, change.commit.size, floor, ())
    yield from _parts(whole, chain(stayed, gone))


def _parts(entry: Changed, pages: Iterable[tuple[int, bytes, bytes]]) -> Iterator[Changed]:
    """The entry with its deltas, at most `PART` in each part; and if there are none, itself."""
    part: list[PageDelta] = []
    empty = True
    for number, was, written in pages:
        now = normalise(written, number)
        # Above the floor even an empty page is told: it voids what newer entries said of it.
        if was != now or number > entry.floor:
            part.append(PageDelta(number, crc32(was), delta(was, now)))
        if len(part) == PART:
            yield replace(entry, pages=tuple(part))
            part, empty = [], False
    if part or empty:
        yield replace(entry, pages=tuple(part))


def _blocks(uid: int, generation: int, entries: Iterator[Changed]) -> Iterator[Block]:
    held: list[Entry] = []
    weight = 0
    for entry in entries:
        held.append(entry)
        weight += 1 + len(entry.pages)
        if weight >= BLOCK:
            yield Block(uid, generation, tuple(held))
            held, weight = [], 0
    if held:
        yield Block(uid, generation, tuple(held))
