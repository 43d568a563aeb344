"""Keeps the history of an open store: what a checkpoint, a delete or a graft would lose.

Every change is in the history before the file loses the older state: a checkpoint tells it
first, and a file that was deleted or replaced is removed only after it was told. Only what is
durable in the journal is told: a crash would leave the history with a change that never was, and
nothing leads back over that. What a crash kept from being told is in the journal still, and
recovery tells it (`storage.history.lost`).

Deleting a root forgets its history; deleting a facet is a part of its tree's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

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
)
from storage.history.story import Pending, Story, Told, bookmark
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

    def keep(self, database: Database, *, joined: bool = False) -> Callable[[], None] | None:
        """Work that tells all that is pending of a database, and durable; None if nothing is.

        It raises, and tells nothing, while an ending in the tree could not be told."""
        if database.uid == 0 or not database.marks:
            return None
        if database.marks[-1].sequence <= database.told.upto:
            return None
        story, tree = self.story(database), database.tree

        def work() -> None:
            why = self.endings.refused.get(tree)
            if why is not None:
                raise StorageError(f"the history cannot be told what came before: {why}") from why
            with story.known.lock:
                self._tell(tree, story, joined=joined)

        return work

    def _tell(self, tree: int, story: Story, *, joined: bool) -> None:
        pending = story.pending
        if not pending:
            return
        if story.too_large:
            self.archive.tree(tree).cut(pending[-1].mark)
        else:
            with closing(story.blocks(self._store.disk, joined=joined)) as blocks:
                self.archive.tree(tree).append(blocks)
        story.known.upto = pending[-1].mark.bookmark.sequence

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

        A row in both got another file; one only in `new` is new. Where a file is too large to
        have a history, the tree's begins anew.
        """
        before = {row.uid for row, _ in old}
        after = {row.uid: row for row in new}

        def blocks(stack: ExitStack) -> Iterator[Block]:
            for row, story in old:
                yield from self._farewell(mark, row, story, after.get(row.uid), stack)
            for row in new:
                if row.uid not in before:
                    yield from self._welcome(mark, row)

        def work() -> None:
            stories = [story for _, story in old if story is not None]
            with ExitStack() as stack:
                for one in stories:
                    stack.enter_context(one.known.lock)
                if any(one.too_large for one in stories) or any(map(self._is_too_large, new)):
                    self.archive.tree(tree).cut(mark)
                else:
                    self.archive.tree(tree).append(blocks(stack))
                for one in stories:
                    if one.commits:
                        one.known.upto = one.commits[-1].mark.bookmark.sequence

        return work

    def _farewell(
        self, mark: Mark, row: Row, story: Story | None, now: Row | None, stack: ExitStack
    ) -> Iterator[Block]:
        if story is not None:
            yield from story.blocks(self._store.disk, joined=False)
        image = None if story is None else story.image(self._store.disk, stack)
        if now is None:
            node = Node(row.parent, row.kind, row.name)
            yield from deleted(row.uid, row.generation, mark, node, image)
        else:
            new = self._made(now, stack) if now.file else NOTHING
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

    def _made(self, row: Row, stack: ExitStack) -> Image:
        path = self._store.layout.path(row.uid, row.generation)
        node = Node(row.parent, row.kind, row.name)
        story = Story(row.uid, row.generation, node, path, self._pages(row), (), Told())
        return story.image(self._store.disk, stack)
