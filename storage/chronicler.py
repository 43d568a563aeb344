"""Keeps the history of an open store: what a checkpoint, a delete or a graft would lose.

Every change is in the history before the file loses the older state: a checkpoint tells it
first, and a file that was deleted or replaced is removed only after it was told. Only what is
durable in the journal is told: a crash would leave the history with a change that never was, and
nothing leads back over that. What a crash kept from being told is in the journal still, and
recovery tells it (`storage.history.lost`).

Deleting a root forgets its history, unless what was moved out of it lives on; deleting a facet is a
part of its tree's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import chain
from typing import TYPE_CHECKING, final

from storage.catalogue import Row
from storage.endings import Endings
from storage.errors import StorageError
from storage.frames import Commit
from storage.history import (
    NOTHING,
    Archive,
    Block,
    Change,
    Image,
    Mark,
    Node,
    bound,
    changed,
    created,
    deleted,
    moved,
)
from storage.history.story import Pending, Reading, Story, Told, bookmark
from storage.limits import PAGE_SIZE
from storage.pages import MAX_PAGES

if TYPE_CHECKING:
    from storage.database import Database
    from storage.store import Store


class Chronicler:
    """The history of one store. `keep` and `ended` belong to its thread; what they return is
    work for any thread, one at a time and in order."""

    def __init__(self, store: Store, archive: Archive) -> None:
        self._store = store
        self.archive = archive
        self.endings = Endings(archive.disk)

    def keep(self, databases: Iterable[Database], *, joined: bool = False) -> Telling | None:
        """Work that tells all that is durable and pending of these; None if nothing is."""
        trees: dict[int, list[Story]] = {}
        for one in databases:
            if one.uid and one.marks and one.marks[-1].sequence > one.told.upto:
                trees.setdefault(one.tree, []).append(self.story(one))
        return Telling(self, trees, joined) if trees else None

    def tell(self, tree: int, stories: Sequence[Story], *, joined: bool) -> None:
        """Tell what is pending, all of it in one append; durable on return. Blocks.

        It raises, and tells nothing, while an ending in the tree could not be told."""
        why = self.endings.refused.get(tree)
        if why is not None:
            raise StorageError(f"the history cannot be told what came before: {why}") from why
        with ExitStack() as stack:
            for one in _by_uid(stories):
                stack.enter_context(one.known.lock)
            newest = [(one, one.pending[-1].mark) for one in stories if one.pending]
            log = self.archive.tree(tree)
            for one, mark in newest:
                if one.too_large:
                    log.cut(mark)
            parts = [
                stack.enter_context(closing(one.blocks(self._store.disk, joined=joined)))
                for one, _ in newest
                if not one.too_large
            ]
            log.append(chain.from_iterable(parts))
            for one, mark in newest:
                one.known.upto = mark.bookmark.sequence

    def story(self, database: Database) -> Story:
        """A database that has a file, as it is now."""
        assert database.uid is not None  # noqa: S101 - it has a file
        assert database.path is not None  # noqa: S101 - it has a file
        epoch = self._store.epoch
        pending = [
            Pending(
                bookmark(epoch, one.sequence, one.time), one.first, one.last, one.before, one.began
            )
            for one in database.marks
        ]
        return Story(
            database.uid,
            database.generation,
            Node(database.above, database.kind, database.name),
            database.path,
            database.size() // PAGE_SIZE,
            pending,
            database.told,
        )

    def ended(
        self, tree: int, mark: Mark, old: Sequence[tuple[Row, Story | None]], new: Sequence[Row]
    ) -> Callable[[], None]:
        """Work that tells of a record that replaced rows of a tree, with what their files held.

        A row in both got another place or file; one only in `new` is new. Where a file is too
        large to have a history, the tree's begins anew.
        """
        before = {row.uid for row, _ in old}
        after = {row.uid: row for row in new}

        def blocks() -> Iterator[Block]:
            for row, story in old:
                yield from self._farewell(mark, row, story, after.get(row.uid))
            for row in new:
                if row.uid not in before:
                    yield from self._welcome(mark, row)

        def work() -> None:
            stories = [story for _, story in old if story is not None]
            with ExitStack() as stack:
                for one in _by_uid(stories):
                    stack.enter_context(one.known.lock)
                if any(one.too_large for one in stories) or any(map(self._is_too_large, new)):
                    self.archive.tree(tree).cut(mark)
                else:
                    self.archive.tree(tree).append(blocks())
                for one in stories:
                    if one.commits:
                        # What was moved has gone on, and more of it may have been told.
                        upto = one.commits[-1].mark.bookmark.sequence
                        one.known.upto = max(one.known.upto, upto)

        return work

    def _farewell(
        self, mark: Mark, row: Row, story: Story | None, now: Row | None
    ) -> Iterator[Block]:
        if story is not None:
            yield from story.blocks(self._store.disk, joined=False)
        node = Node(row.parent, row.kind, row.name)
        if now is not None and node != Node(now.parent, now.kind, now.name):
            yield moved(row.uid, row.generation, mark, node)
        if now is not None and (now.generation, now.file) == (row.generation, row.file):
            return  # it keeps its file
        with ExitStack() as stack:
            image = None if story is None else self._image(story, stack)
            if now is None:
                yield from deleted(row.uid, row.generation, mark, node, image)
            else:
                new = self._image(self._made(now), stack) if now.file else NOTHING
                yield from bound(row.uid, now.generation, mark, image or NOTHING, new)

    def _welcome(self, mark: Mark, row: Row) -> Iterator[Block]:
        yield created(row.uid, row.generation, mark, Node(row.parent, row.kind, row.name))
        if row.file:
            first = Change(mark, 0, Commit(self._pages(row), {}))
            yield from changed(row.uid, row.generation, [first], NOTHING.read)

    def _pages(self, row: Row) -> int:
        path = self._store.layout.path(row.uid, row.generation)
        return path.stat().st_size // PAGE_SIZE

    def _is_too_large(self, row: Row) -> bool:
        return bool(row.file) and self._pages(row) >= MAX_PAGES

    def _made(self, row: Row) -> Story:
        path = self._store.layout.path(row.uid, row.generation)
        node = Node(row.parent, row.kind, row.name)
        return Story(row.uid, row.generation, node, path, self._pages(row), (), Told())

    def _image(self, story: Story, stack: ExitStack) -> Image:
        reading = Reading(self._store.disk, story)
        stack.callback(reading.close)
        return reading.image


@final
class Telling:
    """What a history is about to be told, as work for any thread. Call it once."""

    def __init__(self, chronicler: Chronicler, trees: dict[int, list[Story]], joined: bool) -> None:
        """Use `Chronicler.keep`."""
        self._chronicler = chronicler
        self._trees = trees
        self._joined = joined

    def __call__(self) -> dict[int, Exception]:
        """Tell it; by uid, what could not be told and why.

        The databases of a tree share one append, and with it one sync. If that fails each is
        told alone, so that one with a damaged file does not hold up the others.
        """
        refused: dict[int, Exception] = {}
        for tree, stories in self._trees.items():
            try:
                self._chronicler.tell(tree, stories, joined=self._joined)
            except (StorageError, OSError) as error:
                refused |= self._each(tree, stories) if len(stories) > 1 else _of(stories[0], error)
        return refused

    def all(self) -> None:
        """Tell it; raise what keeps any of it from being told."""
        for error in self().values():
            raise error

    def _each(self, tree: int, stories: Sequence[Story]) -> dict[int, Exception]:
        refused: dict[int, Exception] = {}
        for one in stories:
            try:
                self._chronicler.tell(tree, [one], joined=self._joined)
            except (StorageError, OSError) as error:
                refused |= _of(one, error)
        return refused


def _of(story: Story, error: Exception) -> dict[int, Exception]:
    return {story.uid: error}


def _by_uid(stories: Iterable[Story]) -> list[Story]:
    """In the order in which locks are taken, so that nobody waits for each other."""
    return sorted(stories, key=lambda story: story.uid)
