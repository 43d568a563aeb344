"""Keeps the history of an open store: what a checkpoint, a delete or a graft would lose.

Every change is in the history before the file loses the older state: a checkpoint tells it
first, and a file that was deleted or replaced is removed only after it was told. What a crash
kept from being told is in the journal still, and recovery tells it (`storage.history.lost`).

Deleting a root forgets its history; deleting a facet is a part of its tree's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from storage.catalogue import Row
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
)
from storage.history.story import Pending, Story, bookmark
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

    def keep(self, database: Database, *, joined: bool = False) -> Callable[[], None] | None:
        """Work that tells all that is pending of a database; None if nothing is."""
        if database.uid == 0 or not database.marks:
            return None
        if database.marks[-1].sequence <= database.told.upto:
            return None
        story, tree, told = self.story(database), database.tree, database.told
        last = database.marks[-1].sequence

        def work() -> None:
            if story.size >= MAX_PAGES:
                self.archive.tree(tree).cut(story.pending[-1].mark)
            else:
                with closing(story.blocks(self._store.disk, joined=joined)) as blocks:
                    self.archive.tree(tree).append(blocks)
            told.upto = last

        return work

    def story(self, database: Database) -> Story:
        """A database that has a file, as it is now."""
        assert database.uid is not None  # noqa: S101 - it has a file
        assert database.path is not None  # noqa: S101 - it has a file
        epoch = self._store.epoch
        pending = [
            Pending(bookmark(epoch, one.sequence, one.time), one.first, one.last, one.before)
            for one in database.marks
        ]
        upto = database.told.upto
        cut = sum(one.sequence <= upto for one in database.marks)
        above = 0 if database.parent is None else database.parent.uid or 0
        return Story(
            database.uid,
            database.generation,
            Node(above, database.kind, database.name),
            database.path,
            database.size() // PAGE_SIZE,
            pending[:cut],
            pending[cut:],
        )

    def ended(
        self, tree: int, mark: Mark, old: Sequence[tuple[Row, Story | None]], new: Sequence[Row]
    ) -> Callable[[], None]:
        """Work that tells of a record that replaced rows of a tree, with what their files held.

        A row in both with another generation got another file; one only in `new` is new.
        """
        before = {row.uid: row for row, _ in old}
        after = {row.uid: row for row in new}

        def blocks(stack: ExitStack) -> Sequence[Block]:
            made: list[Block] = []
            for row, story in old:
                made += self._farewell(mark, row, story, after.get(row.uid), stack)
            for row in new:
                if row.uid not in before:
                    made += self._welcome(mark, row)
            return made

        def work() -> None:
            with ExitStack() as stack:
                self.archive.tree(tree).append(blocks(stack))

        return work

    def _farewell(
        self, mark: Mark, row: Row, story: Story | None, now: Row | None, stack: ExitStack
    ) -> Sequence[Block]:
        if now is not None and (now.generation, now.file) == (row.generation, row.file):
            return ()
        told = [] if story is None else list(story.blocks(self._store.disk, joined=False))
        image = None if story is None else story.image(self._store.disk, stack)
        node = Node(row.parent, row.kind, row.name)
        if now is None:
            return [*told, *deleted(row.uid, row.generation, mark, node, image)]
        new = self._made(now, stack) if now.file else NOTHING
        return [*told, *bound(row.uid, now.generation, mark, image or NOTHING, new)]

    def _welcome(self, mark: Mark, row: Row) -> Sequence[Block]:
        made = [created(row.uid, row.generation, mark, Node(row.parent, row.kind, row.name))]
        if row.file:
            size = self._store.layout.path(row.uid, row.generation).stat().st_size // PAGE_SIZE
            first = Change(mark, 0, Commit(size, {}))
            made += changed(row.uid, row.generation, [first], NOTHING.read)
        return made

    def _made(self, row: Row, stack: ExitStack) -> Image:
        path = self._store.layout.path(row.uid, row.generation)
        size = path.stat().st_size // PAGE_SIZE
        node = Node(row.parent, row.kind, row.name)
        story = Story(row.uid, row.generation, node, path, size, (), ())
        return story.image(self._store.disk, stack)
