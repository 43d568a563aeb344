"""Files of databases on their first use, and how many of them are open at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from storage.disk import Disk
from storage.errors import DatabaseCorrupt, StorageFull
from storage.layout import remove
from storage.template import template

if TYPE_CHECKING:
    from storage.database import Database


class Connections:
    """The open databases of one store: `cap` of them at most, but for those in a step."""

    def __init__(self, disk: Disk, cap: int) -> None:
        self._disk = disk
        self._cap = cap
        self._open: OrderedDict[int, Database] = OrderedDict()
        """By uid; the one not used for longest first."""
        self.on_open: Callable[[Database], None] | None = None
        """Called before one is opened for a step; may raise to refuse it."""

    def __len__(self) -> int:
        return len(self._open)

    def busy(self) -> Iterator[Database]:
        """Those with something written that is neither kept nor undone."""
        return (one for one in self._open.values() if one.in_step or one.deferred)

    def create(self, path: Path) -> None:
        """A new file; whatever a dead process left under that name is replaced."""
        try:
            path.parent.mkdir(exist_ok=True)
            remove(self._disk, path)
            self._disk.write_file(path, template(), sync=False)
        except OSError as error:
            raise StorageFull(f"no room for a new database: {error}", path=str(path)) from error

    def adopt(self, path: Path) -> None:
        """First use of a file in this process: its -wal is scratch of an earlier one."""
        if not path.exists():
            raise DatabaseCorrupt(f"{path} is missing", path=str(path))
        try:
            self._disk.unlink(path.with_name(path.name + "-wal"))
        except OSError as error:
            raise StorageFull(f"the disk refused this step: {error}", path=str(path)) from error

    def used(self, database: Database) -> None:
        """A step begins: keep this connection, and close old ones over the cap."""
        uid = database.take_uid()
        self._open[uid] = database
        self._open.move_to_end(uid)
        if len(self._open) > self._cap:
            self._close_oldest(database)

    def _close_oldest(self, kept: Database) -> None:
        """Put databases to sleep, those not used for longest first, down to the cap."""
        others = (one for one in self._open.values() if one is not kept and one.uid != 0)
        close_idle(others, len(self._open) - self._cap)

    def below(self, top: Database) -> list[Database]:
        """Those of a subtree, the one not used for longest first."""
        return [one for one in self._open.values() if _is_below(one, top)]

    def closed(self, database: Database) -> None:
        """Its connection is closed."""
        self._open.pop(database.take_uid(), None)

    def close(self) -> None:
        """Close all of them."""
        for one in list(self._open.values()):
            one.close()


def close_idle(found: Iterable[Database], most: int) -> int:
    """Close the first of these that nobody needs, so many at most; how many."""
    idle = list(islice((one for one in found if one.idle), most))
    for one in idle:
        one.sleep()
    return len(idle)


def _is_below(database: Database, top: Database) -> bool:
    one: Database | None = database
    while one is not None and one is not top:
        one = one.parent
    return one is top
