"""What differs between two subtrees, or between two moments of one: actors, tables and rows.

Both sides are held as they are. Their databases are written aside two at a time and compared by
SQLite, table by table and row by row in the order of keys, so that memory holds no more than a
batch of what is told, however much there is.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from storage.catalogue import Row, paths
from storage.clone import Source
from storage.layout import remove
from storage.past import Past
from storage.relations import compare

if TYPE_CHECKING:
    from storage.database import Database
    from storage.history import Bookmark
    from storage.store import Store

BATCH = 256
Kind = Literal["actor", "table", "index", "trigger", "view", "row", "key", "file"]
Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same on both sides."""

    actor: tuple[str, ...]
    """Names that lead to it from the top; `()` for the top itself. Where both sides have the actor,
    those of the newer side."""
    kind: Kind
    """`actor`: there or not, or of another name or place; `table`, `index`, `trigger`, `view`: its
    definition; `row` of a table, `key` of `self.kv`, `file` of `self.fs`."""
    table: str
    """Of a table, its rows, indexes and triggers; of a view, its own name."""
    key: tuple[Any, ...]
    """Of a row: its primary key, or rowid if it has none; of what else has one: its name."""
    old: Mapping[str, Any] | None
    """None: added."""
    new: Mapping[str, Any] | None
    """None: removed."""

    @property
    def change(self) -> Literal["added", "removed", "changed"]:
        """What happened on the way from the old side to the new one."""
        return "added" if self.old is None else "removed" if self.new is None else "changed"


class Side(Protocol):
    """A subtree at one moment."""

    @property
    def rows(self) -> list[Row]:
        """Parents first."""

    def make(self, row: Row) -> Callable[[Path], None] | None:
        """How its file is written; None without one."""

    def is_now(self, row: Row) -> bool:
        """Whether its file is what it is now, for certain."""


class Held:
    """A subtree as of now, held until `close`."""

    def __init__(self, store: Store, database: Database) -> None:
        self._store = store
        self._source = Source(store, database)
        self.rows = self._source.rows
        self.make = self._source.make
        store.objects.hold()
        for one in self._source.held:
            one.held += 1

    def work(self) -> None:
        """Nothing has to be found out."""

    def is_now(self, _row: Row) -> bool:
        """That it is."""
        return True

    def close(self) -> None:
        """Let it go."""
        self._store.objects.let_go()
        for one in self._source.held:
            one.held -= 1


class Diff:
    """From `old` to `new`, each a database and the bookmark that it is looked at, or now.

    Made on the store's thread; `work` on the one that tells of the history; `next` on any, until
    it gives nothing more; `close` on the store's.
    """

    def __init__(
        self,
        store: Store,
        old: tuple[Database, Bookmark | None],
        new: tuple[Database, Bookmark | None],
    ) -> None:
        self._store = store
        self._old = _side(store, *old)
        try:
            self._new = _side(store, *new)
        except BaseException:
            self._old.close()
            raise
        self._found = self._differences()

    def work(self) -> None:
        """Find out who was there. `BookmarkGone`, `NoState` and `HistoryCorrupt` as ever."""
        self._old.work()
        self._new.work()
        self._store.layout.staging.mkdir(exist_ok=True)

    def next(self) -> list[Difference]:
        """Some more; none if that was all."""
        return list(islice(self._found, BATCH))

    def close(self) -> None:
        """Let everything go; also amid `next`s."""
        self._found.close()
        self._old.close()
        self._new.close()

    def _differences(self) -> Generator[Difference, None, None]:
        before, after = paths(self._old.rows), paths(self._new.rows)
        olds = {row.uid: row for row in self._old.rows}
        by_path = {before[row.uid]: row for row in self._old.rows}
        news = {row.uid for row in self._new.rows}
        met: set[int] = set()
        for row in self._new.rows:
            path = after[row.uid]
            was = olds.get(row.uid) if path else self._old.rows[0]
            if was is None and (there := by_path.get(path)) is not None and there.uid not in news:
                was = there  # not the same actor, but in the same place
            if was is not None:
                met.add(was.uid)
            yield from self._of_actor(was, row, None if was is None else before[was.uid], path)
        for row in self._old.rows:
            if row.uid not in met:
                yield from self._of_actor(row, None, before[row.uid], None)

    def _of_actor(
        self, was: Row | None, now: Row | None, before: Names | None, after: Names | None
    ) -> Iterator[Difference]:
        path = before if after is None else after
        assert path is not None  # noqa: S101 - it is on one side
        if before != after:
            old = None if before is None else {"path": before}
            new = None if after is None else {"path": after}
            yield Difference(path, "actor", "", (), old, new)
        if was and now and was.uid == now.uid and self._old.is_now(was) and self._new.is_now(now):
            return  # most are, of what changed since a bookmark
        with _Aside(self._store, self._old, was) as one, _Aside(self._store, self._new, now) as two:
            for found in compare(one, two):
                yield Difference(path, *found)


class _Aside:
    """The file of one actor, for as long as it is compared."""

    def __init__(self, store: Store, side: Side, row: Row | None) -> None:
        self._disk = store.disk
        self._make = None if row is None else side.make(row)
        self._path = store.layout.staging / f"diff-{secrets.token_hex(8)}.db"

    def __enter__(self) -> Path | None:
        if self._make is None:
            return None
        try:
            self._make(self._path)
        except BaseException:
            remove(self._disk, self._path)
            raise
        return self._path

    def __exit__(self, *_: object) -> None:
        remove(self._disk, self._path)


def _side(store: Store, database: Database, bookmark: Bookmark | None) -> Held | Past:
    return Held(store, database) if bookmark is None else Past(store, database, bookmark)
