"""From SQLite's commits to records: all that belongs together becomes one, or is taken back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from storage import record
from storage.checkpoint import inline
from storage.database import Database
from storage.databases import ancestry
from storage.errors import StorageFull
from storage.frames import Commit
from storage.limits import PAGE_SIZE
from storage.meters import Charge, charge
from storage.record import Entry
from storage.succession import began

if TYPE_CHECKING:
    from storage.checkpoint import Checkpointer
    from storage.journal import Journal
    from storage.store import Store

Change = tuple[Database, Commit]


class Commits:
    """The commits of one store, on its thread."""

    def __init__(self, store: Store, journal: Journal, checkpointer: Checkpointer) -> None:
        self._store = store
        self._journal = journal
        self._checkpointer = checkpointer
        self.reshaped: Counter[int] = Counter()
        """How often something was deleted or put in place, by the uid of the root."""
        self.on_growth: Callable[[Database, int, int], None] | None = None
        """Told of each commit: how many bytes a database grew, and 1 if it is new."""

    def keep(self, changed: Sequence[Change]) -> int:
        """Queue one record of commits that SQLite has made; or take all of them back.

        The record's sequence. What the catalogue must learn of newborns is part of it.
        """
        at = record.now()
        changes = list(changed)
        newborn = [one for one, _ in changed if not one.born]
        charges = [charge for one, _ in changed for charge in one.charges]
        rescheduled = [one for one, _ in changed if one.rescheduled]
        hastened = [one for one in rescheduled if _sooner(one.next_due, one.due)]
        added: list[Database] = []
        try:
            rows = None
            if newborn or hastened or charges:
                rows = self._register(newborn, added, hastened, charges)
            if rows is not None:
                changes.append((self._store.catalogue.database, rows))
            entries = [one.row_entry(record.ROW) for one in added]
            entries += [one.row_entry(record.CREATE) for one in newborn]
            entries += [one.pages_entry(made) for one, made in changes]
            sequence = self._journal.append(entries, at=at)
        except BaseException as error:
            for one in added:
                one.row = False
            self._take_back(changes)
            if isinstance(error, OSError):
                raise self._full(error) from error
            raise
        for one in newborn:
            one.born = True
        if added:
            began(self._store, [one for one in added if one not in newborn], sequence)
        for one in hastened:
            one.due = one.next_due
        for one, made in changes:
            if self.on_growth is not None:
                before = 0 if one in newborn else one.pages
                self.on_growth(one, (made.size - before) * PAGE_SIZE, int(one in newborn))
            one.kept(sequence, at, made, began=one in added)
            self._checkpointer.wrote(one, sequence, one in newborn)
        for one in rescheduled:
            self._store.on_due(one)
        if self._checkpointer.background is inline:
            self._store.tend()
        return sequence

    def keep_all(self, databases: Sequence[Database]) -> int:
        """Commit the open steps of several databases as one: all of them are kept, or none.

        When one cannot be kept, every step is undone and the error says why. The sequence of
        the record; 0 if nothing was written.
        """
        changes: list[Change] = []
        try:
            for one in databases:
                one.prepare()
            for one in databases:
                made = one.commit_frames()
                if made is not None:
                    changes.append((one, made))
        except BaseException:
            self._abandon(databases, changes)
            raise
        return self.keep(changes) if changes else 0

    def keep_rows(self, entries: Sequence[Entry], *places: Database) -> int:
        """Commit the catalogue's open step together with `entries`, as one record. Something ends
        or begins in these places."""
        catalogue = self._store.catalogue.database
        at = record.now()
        made = catalogue.commit_frames()
        assert made is not None  # noqa: S101 - something was changed
        try:
            sequence = self._journal.append([catalogue.pages_entry(made), *entries], at=at)
        except BaseException as error:
            self._take_back([(catalogue, made)])
            if isinstance(error, OSError):
                raise self._full(error) from error
            raise
        above = {one.tree for place in places for one in ancestry(place)}
        for tree in above.union(one.tree for one in entries):
            self.reshaped[tree] += 1
        catalogue.kept(sequence, at, made)
        self._checkpointer.wrote(catalogue, sequence, False)
        return sequence

    def lost(self, error: BaseException) -> NoReturn:
        """SQLite made a commit that could not be read back: the journal will never have it, and
        this process must not go on with it. Raises `JournalFailed`."""
        self._journal.fail(error)

    def add_above(self, database: Database, added: list[Database]) -> None:
        """Rows for ancestors that have none, as part of the catalogue's open step."""
        if database.parent is not None:
            database.parent.look()
            self._add_row(database.parent, added)

    def _abandon(self, databases: Sequence[Database], changes: Sequence[Change]) -> None:
        try:
            for one in databases:
                one.abandon()
        finally:
            self._take_back(changes)

    def _take_back(self, changes: Sequence[Change]) -> None:
        """Undo commits that no record was queued for. When that fails, the files hold what the
        journal does not, and this process must not go on with them."""
        try:
            for one, _ in reversed(changes):
                one.uncommit()
        except BaseException as error:
            self._journal.fail(error)

    def _full(self, error: OSError) -> StorageFull:
        return StorageFull(f"the journal has no room: {error}", path=str(self._store.directory))

    def _register(
        self,
        newborn: Sequence[Database],
        added: list[Database],
        hastened: Sequence[Database],
        charges: Sequence[Charge],
    ) -> Commit | None:
        """Write the rows of newborns, and of ancestors that have none; whose timers are due
        earlier than the catalogue knew; and what was spent on meters."""
        catalogue = self._store.catalogue
        try:
            for one in newborn:
                self._add_row(one, added)
                catalogue.has_file(one.take_uid())
            for one in hastened:
                catalogue.set_due(one.take_uid(), one.next_due)
            if charges:
                charge(catalogue, charges)
            return catalogue.database.commit_frames()
        except BaseException:
            catalogue.database.rollback()
            raise

    def _add_row(self, database: Database, added: list[Database]) -> None:
        if database.row:
            return
        above = 0
        if database.parent is not None:
            database.parent.look()
            self._add_row(database.parent, added)
            above = database.parent.take_uid()
        self._store.catalogue.add(database.take_uid(), above, database.kind, database.name)
        database.row = True
        added.append(database)


def _sooner(due: int | None, known: int | None) -> bool:
    return due is not None and (known is None or due < known)
