"""New database files take the place of a subtree, in one record.

Clone, import, restore and compaction are all this: files are made and synced aside, given their
final names, and one record says that they count: rows of the catalogue, DELETE for what is
replaced, BIND for what is new. Before the record is durable nothing has happened; a crash
leaves files that nobody names, and their uids or generations are given again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from storage import record
from storage.catalogue import Row
from storage.errors import NoState, StorageError
from storage.layout import remove
from storage.record import Entry
from storage.snapshot import sync_folders

if TYPE_CHECKING:
    from storage.database import Database
    from storage.store import Store


@dataclass(frozen=True, slots=True)
class Scion:
    """One actor of the new subtree, and how its file is made."""

    row: Row
    make: Callable[[Path], None] | None
    """Writes and syncs the file, on any thread; None where there is none to make: the actor has
    none, or keeps the one that it has."""


class Graft:
    """A subtree on its way to `target`, which is replaced as a whole.

    `work` on any thread, then `finish` on the store's; `cancel` instead of either. The
    databases that are read from are held until then.
    """

    def __init__(
        self,
        store: Store,
        target: Database,
        scions: Sequence[Scion],
        held: Sequence[Database] = (),
        before: Callable[[], None] | None = None,
    ) -> None:
        self._store = store
        self._target = target
        self._scions = scions
        self._held = list(held)
        self._before = before
        """Work that comes first."""
        self._made: list[Path] = []
        for one in self._held:
            one.held += 1

    def work(self) -> None:
        """Make the files. StorageFull or OSError leaves nothing behind but files aside."""
        store = self._store
        if self._before is not None:
            self._before()
        store.layout.staging.mkdir(exist_ok=True)
        for scion in self._scions:
            if scion.make is None:
                continue
            final = store.layout.path(scion.row.uid, scion.row.generation)
            aside = store.layout.staging / final.name
            scion.make(aside)
            final.parent.mkdir(exist_ok=True)
            remove(store.disk, final)
            store.disk.rename(aside, final)
            self._made.append(final)
            store.upload(scion.row, final)
        if self._made:
            sync_folders(store.disk, self._made)

    def finish(self) -> int:
        """Put the subtree in place; the sequence of the record that says so."""
        try:
            sequence = self._bind()
        except BaseException:
            self.cancel()
            raise
        self._let_go()
        return sequence

    def cancel(self) -> None:
        """Forget it; what was made is removed."""
        self._let_go()
        for path in self._made:
            remove(self._store.disk, path)
        self._made = []

    def _let_go(self) -> None:
        held, self._held = self._held, []
        for one in held:
            one.held -= 1

    def _entries(self, old: Sequence[Row], tree: int) -> list[Entry]:
        """Change the catalogue, as part of its open step; what else the record says."""
        catalogue = self._store.catalogue
        new = {scion.row.uid for scion in self._scions}
        catalogue.remove([row.uid for row in old])
        for scion in self._scions:
            catalogue.put(scion.row)
        gone = [row for row in old if row.uid not in new]
        made = [scion.row for scion in self._scions if scion.make is not None]
        ended = old[0].uid if old and self._target.parent is None else tree
        bare = [scion.row for scion in self._scions if not scion.row.file]
        was = {row.uid: row.generation for row in old if row.file}
        return [
            *[row.entry(record.DELETE, ended) for row in gone],
            *[row.entry(record.ROW, tree) for row in bare],
            *[row.entry(record.BIND, tree, was.get(row.uid, 0)) for row in made],
        ]

    def _tree(self) -> int:
        """Uid of the root that the target is, or is below."""
        return self._scions[0].row.uid if self._target.parent is None else self._target.tree

    def _bind(self) -> int:
        store, target = self._store, self._target
        target.look()
        old = store.catalogue.subtree(target.uid) if target.row and target.uid else []
        stories = store.stories(old)
        # Also those without state: they know that they have none, which is about to change.
        living = list(target.family())
        tree = self._tree()
        if any(one.in_step or one.held > self._held.count(one) for one in living):
            raise StorageError(f"{target.name!r} is in use: a step of it, or below it, is open")
        if store.uid_above(target) != self._scions[0].row.parent:
            raise NoState(f"what was above {target.name!r} was replaced", name=target.name)
        for one in living:
            one.close()
        added: list[Database] = []
        try:
            store.add_above(target, added)
            rows = [one.row_entry(record.ROW) for one in added]
            sequence = store.change([*rows, *self._entries(old, tree)])
        except BaseException:
            store.catalogue.database.rollback()
            for one in added:
                one.row = False
            raise
        store.tell_rows(added, sequence)
        store.replaced(tree, sequence, stories, [one.row for one in self._scions])
        for one in living:
            one.forget()
        target.sequence = sequence
        return sequence
