"""New database files take the place of a subtree, in one record.

Clone, import, restore and compaction are all this: files are made and synced aside, given their
final names, and one record says that they count: rows of the catalogue, DELETE for what is
replaced, BIND for what is new. Before the record is durable nothing has happened; a crash
leaves files that nobody names, and their uids or generations are given again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from storage import record
from storage.catalogue import Row
from storage.databases import uid_above
from storage.endings import NO_TREE, Ending
from storage.errors import MovedMeanwhile, NoState, StorageError
from storage.layout import remove
from storage.leftovers import note
from storage.reading import look_at_copy
from storage.record import Entry
from storage.snapshot import sync_folders
from storage.succession import began, homes_of, over, replaced, stories
from storage.syncing import sync_files

if TYPE_CHECKING:
    from storage.database import Database
    from storage.store import Store

DUE = Row._fields.index("due")
"""Behind what makes a row what it is: when a timer is due changes all the time."""


@dataclass(frozen=True, slots=True)
class Scion:
    """One actor of the new subtree, and how its file is made."""

    row: Row
    make: Callable[[Path], None] | None
    """Writes the file, on any thread; None where there is none to make: the actor has
    none, or keeps the one that it has."""
    home: int = 0
    """Whose history it is in; 0: as its place says."""


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
        amid: AbstractContextManager[None] | None = None,
        *,
        alone: bool = False,
    ) -> None:
        self._store = store
        self._target = target
        self._scions = scions
        self._held = list(held)
        self._amid = amid or nullcontext()
        """In which the files are made, once."""
        self._alone = alone
        """Only the target itself is replaced; what is below it stays."""
        self._made: list[Path] = []
        self._changed: list[Scion] = []
        """Those that differ from what is there."""
        self._objects: set[str] = set()
        """What the new files name."""
        self._dues: dict[int, int | None] = {}
        """When the first timer in each is due."""
        self._over = False
        self._notes: list[Path] = []
        store.objects.hold()
        for one in self._held:
            one.held += 1

    def work(self) -> None:
        """Make the files. StorageFull or OSError leaves nothing behind but files aside."""
        with self._amid:
            self._work(self._scions)

    def make(self, scions: Sequence[Scion]) -> None:
        """Files for these after all, that were to keep what they have. On the store's thread."""
        new = {scion.row.uid: scion for scion in scions}
        self._scions = [new.get(one.row.uid, one) for one in self._scions]
        self._work(scions)

    def _work(self, scions: Sequence[Scion]) -> None:
        store, staging = self._store, self._store.layout.staging
        staging.mkdir(exist_ok=True)
        finals = [
            (scion, store.layout.path(scion.row.uid, scion.row.generation))
            for scion in scions
            if scion.make is not None
        ]
        self._notes.append(note(store.disk, store.layout, [path for _, path in finals]))
        for scion, final in finals:
            self._make(scion, staging / final.name)
        sync_files(store.disk, [staging / final.name for _, final in finals])
        for scion, final in finals:
            aside = staging / final.name
            final.parent.mkdir(exist_ok=True)
            remove(store.disk, final)
            store.disk.rename(aside, final)
            self._made.append(final)
            store.upload(scion.row, final)
        if self._made:
            sync_folders(store.disk, self._made)

    def _make(self, scion: Scion, aside: Path) -> None:
        assert scion.make is not None  # noqa: S101 - the caller looked
        scion.make(aside)
        found = look_at_copy(aside)
        self._objects |= found.objects
        self._dues[scion.row.uid] = found.due

    @property
    def size(self) -> tuple[int, int]:
        """Bytes of the files that `work` made, and how many there are."""
        return sum([path.stat().st_size for path in self._made]), len(self._made)

    def finish(self) -> int:
        """Put the subtree in place; the sequence of the record that says so."""
        try:
            self._store.objects.touch(self._objects)
            sequence = self._bind()
        except BaseException:
            self.cancel()
            raise
        self._let_go()
        return sequence

    def cancel(self) -> None:
        """Forget it; what was made is removed."""
        self._let_go()
        made, self._made = self._made, []
        if self._store.failed is not None or self._store.ended:
            return  # the record that names them may be in the journal, or they are another's
        for path in made:
            with contextlib.suppress(OSError):  # no name leads to it
                remove(self._store.disk, path)
        for one in self._notes:
            with contextlib.suppress(OSError):
                self._store.disk.unlink(one)

    def _let_go(self) -> None:
        held, self._held = self._held, []
        for one in held:
            one.held -= 1
        if not self._over:
            self._over = True
            self._store.objects.let_go()

    def _entries(self, old: Sequence[Row], homes: dict[int, int]) -> list[Entry]:
        """Change the catalogue, as part of its open step; what else the record says. `old` are
        the rows that do not stay as they are."""
        catalogue = self._store.catalogue
        was = {row.uid: row for row in old}
        new = {scion.row.uid for scion in self._changed}
        catalogue.remove(list(was))
        for scion in self._changed:
            row = scion.row
            catalogue.put(row._replace(due=self._due(row)))
            catalogue.set_home(row.uid, self._apart(scion, homes))
        gone = [row for row in old if row.uid not in new]
        fresh = [scion.row for scion in self._changed if scion.row.uid not in was]
        made = [scion.row for scion in self._changed if scion.make is not None]
        moved = [was[scion.row.uid] for scion in self._changed if _is_moved(scion.row, was)]
        before = {row.uid: row.generation for row in old if row.file}
        return [
            *[row.entry(record.DELETE, homes[row.uid]) for row in gone],
            *[row.entry(record.ROW, homes[row.uid]) for row in fresh],
            *[row.entry(record.MOVE, homes[row.uid]) for row in moved],
            *[row.entry(record.BIND, homes[row.uid], before.get(row.uid, 0)) for row in made],
        ]

    def _apart(self, scion: Scion, homes: dict[int, int]) -> int:
        """Its home, if its place says another one."""
        row = scion.row
        return 0 if homes[row.uid] == self._place_home(row, homes) else homes[row.uid]

    def _place_home(self, row: Row, homes: dict[int, int]) -> int:
        """Whose history an actor that begins there is in."""
        above = self._target.parent
        return homes.get(row.parent) or (row.uid if above is None else above.tree)

    def _homes(self, old: Sequence[Row]) -> dict[int, int]:
        """Whose histories all of them are in. What is above the target has its rows by now."""
        homes = homes_of(self._store, old)
        for scion in self._scions:
            uid = scion.row.uid
            homes[uid] = scion.home or homes.get(uid) or self._place_home(scion.row, homes)
        return homes

    def _bind(self) -> int:
        store, target = self._store, self._target
        target.look()
        rows = store.catalogue.subtree(target.uid) if target.row and target.uid else []
        rows = rows[:1] if self._alone else rows
        wanted = {scion.row[:DUE] for scion in self._scions}
        stay = {row for row in rows if row[:DUE] in wanted}
        kept = {row[:DUE] for row in stay}
        old = [row for row in rows if row not in stay]
        self._changed = [scion for scion in self._scions if scion.row[:DUE] not in kept]
        told = stories(store, old)
        living = self._living(old, stay)
        if any(one.in_step or one.deferred for one in living):
            raise StorageError(f"{target.name!r} is in use: a step of it, or below it, is open")
        self._check_place({row.uid for row in rows})
        for one in living:
            one.close()
        added: list[Database] = []
        try:
            store.commits.add_above(target, added)
            homes = self._homes(rows)  # now: its root may not have had a uid
            above = [one.row_entry(record.ROW) for one in added]
            entries = self._entries(old, homes)
            whole = target.parent is None and old
            forgotten = over(store, (homes[row.uid] for row in old)) if whole else []
            sequence = store.commits.keep_rows(
                [*above, *entries, *map(record.forget, forgotten)], target
            )
        except BaseException:
            store.catalogue.undo()
            for one in added:
                one.row = False
            raise
        # From here on nothing may fail: the record cannot be taken back.
        began(store, added, sequence)
        replaced(store, sequence, told, [one.row for one in self._changed], homes, forgotten)
        for one in living:
            one.forget()
        target.sequence = sequence
        for named in self._notes:
            gone = partial(store.disk.unlink, named)
            store.chronicler.endings.add(Ending(NO_TREE, sequence, sequence, gone))
        dues: dict[int, int | None] = dict.fromkeys([row.uid for row in old])
        store.on_graft(dues | {one.row.uid: self._due(one.row) for one in self._changed})
        return sequence

    def _due(self, row: Row) -> int | None:
        return self._dues.get(row.uid, row.due)

    def _check_place(self, there: Collection[int]) -> None:
        """Whether the target is where it was, and nobody who is to come is somewhere else."""
        target, first = self._target, self._scions[0].row
        if uid_above(target) != first.parent:
            raise NoState(f"what was above {target.name!r} was replaced", name=target.name)
        named = (target.kind, target.name) == (first.kind, first.name)
        if not named or not self._store.databases.knows(target):
            raise MovedMeanwhile(f"{first.name!r} was moved meanwhile", name=first.name)
        for scion in self._scions:
            if scion.row.uid not in there and self._store.catalogue.has(scion.row.uid):
                name = scion.row.name
                raise MovedMeanwhile(f"{name!r} was moved meanwhile", name=name)

    def _living(self, old: Sequence[Row], stay: Collection[Row]) -> list[Database]:
        """Databases in memory that must learn what they are from now on."""
        ended = {row.uid for row in old}
        # Also those without state: they know that they have none, which may be about to change.
        fresh = any(scion.row.uid not in ended for scion in self._changed)
        stays = {row.uid for row in stay}
        return [
            one
            for one in self._target.family()
            if one.uid in ended or (fresh and one.uid not in stays)
        ]


def _is_moved(row: Row, was: Mapping[int, Row]) -> bool:
    before = was.get(row.uid)
    return before is not None and before.place != row.place
