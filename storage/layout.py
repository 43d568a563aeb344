"""Where things are in a state directory.

format              the version of everything here
lock                who owns it, while it lives
replica.json        its newest incarnation in a replica, if it ever was in one
journal/N.seg       the segments
catalogue.db        which actors there are
db/XX/UID.db        their databases, by uid in 256 folders; UID.G.db from generation 2 on
history/XX/UID/     older states of the tree of root UID
objects/            large contents of files, by their hash, where there is no replica
sweep.json          which of them nobody names any more (`storage.spilled`)
staging/            files that are not complete; emptied when the directory is opened
"""

from __future__ import annotations

from pathlib import Path

from storage.disk import Disk


class Layout:
    """Paths below one root."""

    __slots__ = ("databases", "history", "journal", "objects", "root", "staging")

    def __init__(self, root: Path) -> None:
        self.root = root
        self.journal = root / "journal"
        self.databases = root / "db"
        self.history = root / "history"
        self.objects = root / "objects"
        self.staging = root / "staging"

    def folder(self, uid: int) -> Path:
        """Where the database of a uid lies."""
        return self.root if uid == 0 else self.databases / f"{uid & 255:02x}"

    def path(self, uid: int, generation: int = 1) -> Path:
        """The database file of a uid."""
        if uid == 0:
            return self.root / "catalogue.db"
        name = f"{uid}.db" if generation == 1 else f"{uid}.{generation}.db"
        return self.folder(uid) / name

    def files(self) -> dict[int, int]:
        """The newest generation of each database that has a file, the catalogue's among them."""
        found = {0: 1}
        for path in self.databases.glob("??/*.db"):
            uid, _, generation = path.stem.partition(".")
            found[int(uid)] = max(found.get(int(uid), 0), int(generation or 1))
        return found

    def remove(self, disk: Disk, uid: int, generation: int = 1) -> None:
        """Remove a database file and what SQLite keeps beside it."""
        remove(disk, self.path(uid, generation))


def remove(disk: Disk, path: Path) -> None:
    """Remove a database file and what SQLite keeps beside it."""
    for name in (path.name, path.name + "-wal", path.name + "-shm"):
        disk.unlink(path.with_name(name))
