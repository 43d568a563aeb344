"""A tree of real SQLite databases whose every commit goes into a history, and what they held."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path

import apsw

from storage.frames import Commit, FrameReader
from storage.history import (
    Bookmark,
    Change,
    Image,
    Mark,
    Node,
    TreeLog,
    TreeState,
    bound,
    changed,
    created,
    deleted,
    moved,
    rewind,
    thin,
)
from storage.limits import PAGE_SIZE, HistoryLimits
from storage.pages import normalise
from storage.template import template
from tests.storage.history.model import Quick

EPOCH = 3
SETUP = (
    "pragma locking_mode=exclusive; pragma synchronous=off; pragma wal_autocheckpoint=0;"
    "pragma cell_size_check=on; pragma cache_size=20;"
)
SCHEMA = (
    "create table rows(id integer primary key, key text, body blob);"
    "create index by_key on rows(key);"
    "create table words(word text primary key, n integer) without rowid;"
)


def run(db: apsw.Connection, sql: str, *values: object) -> list[tuple[object, ...]]:
    return list(db.execute(sql, values))  # type: ignore[arg-type]


def read_pages(path: Path) -> Callable[[int], bytes]:
    def read(number: int) -> bytes:
        with path.open("rb") as file:
            file.seek((number - 1) * PAGE_SIZE)
            return file.read(PAGE_SIZE)

    return read


def write_pages(path: Path, pages: Iterable[tuple[int, bytes]]) -> None:
    with path.open("wb") as file:
        for number, page in pages:
            file.seek((number - 1) * PAGE_SIZE)
            file.write(page)


def content(path: Path) -> list[list[tuple[object, ...]]]:
    """Everything in the tables of a database file that no one has open; it must be sound."""
    db = apsw.Connection(str(path))
    try:
        assert run(db, "pragma integrity_check") == [("ok",)]
        tables = [row[0] for row in run(db, "select name from sqlite_schema where type='table'")]
        return [run(db, f"select * from {table} order by 1") for table in sorted(map(str, tables))]
    finally:
        db.close()


class SqliteFile:
    """One database, with its commits read from the -wal as they are made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(template())
        self.db = apsw.Connection(str(path))
        for _ in self.db.execute(SETUP):
            pass
        self.reader = FrameReader(path.with_name(path.name + "-wal"))
        self.db.set_wal_hook(self._committed)
        self.size = 0
        self.images: dict[int, bytes] = {}
        """What its pages are now, normalised."""
        self._count = 0

    def _committed(self, _db: apsw.Connection, _name: str, frames: int) -> int:
        self._count = frames
        return 0

    def commit(self, *statements: str) -> Commit:
        for sql in statements:
            for _ in self.db.execute(sql):
                pass
        commit = self.reader.read(self._count)
        self.images |= {n: normalise(page, n) for n, page in commit.pages.items()}
        self.images = {n: page for n, page in self.images.items() if n <= commit.size}
        self.size = commit.size
        return commit

    def checkpoint(self) -> None:
        self.db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def close(self) -> None:
        self.db.close()
        self.reader.close()


class Tree:
    """Databases with one history; `truth` has every page of each of them at every bookmark."""

    def __init__(self, folder: Path, limits: HistoryLimits | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.limits = limits or HistoryLimits()
        self.log = self.reopened()
        self.files: dict[int, SqliteFile] = {}
        self.nodes: dict[int, Node] = {}
        self.pending: dict[int, list[Change]] = {}
        self.truth: dict[Bookmark, dict[int, tuple[Node, dict[int, bytes]]]] = {}
        self.joined: set[Bookmark] = set()
        """Those that thinning took."""
        self.sequence = 0
        self.last_uid = 0

    def reopened(self) -> TreeLog:
        return TreeLog(Quick(), self.folder / "history", self.limits)

    def mark(self) -> Mark:
        self.sequence += 1
        return Mark(Bookmark(EPOCH, self.sequence), self.sequence * 1000)

    def note(self, mark: Mark) -> None:
        self.truth[mark.bookmark] = {
            uid: (node, dict(self.files[uid].images)) for uid, node in self.nodes.items()
        }

    def create(self, parent: int = 0) -> int:
        self.last_uid += 1
        uid = self.last_uid
        mark, node = self.mark(), Node(parent, "" if parent else "Lead", f"actor {uid}")
        self.files[uid] = SqliteFile(self.folder / f"{uid}.db")
        self.nodes[uid], self.pending[uid] = node, []
        commit = self.files[uid].commit(SCHEMA)
        self.pending[uid].append(Change(mark, 0, commit))
        self.log.append([created(uid, 1, mark, node)])
        self.note(mark)
        return uid

    def write(self, uid: int, *statements: str) -> Bookmark:
        file, mark = self.files[uid], self.mark()
        before = file.size
        self.pending[uid].append(Change(mark, before, file.commit("begin", *statements, "commit")))
        self.note(mark)
        return mark.bookmark

    def vacuum(self, uid: int) -> None:
        file, mark = self.files[uid], self.mark()
        self.pending[uid].append(Change(mark, file.size, file.commit("vacuum")))
        self.note(mark)

    def flush(self, uid: int, join: int = 1) -> None:
        """Encode what is pending, `join` commits at a time, and only then checkpoint."""
        changes, self.pending[uid] = self.pending[uid], []
        runs = [changes[at : at + join] for at in range(0, len(changes), join)]
        for run in runs:
            first, last = run[0].mark.bookmark, run[-1].mark.bookmark
            self.joined |= {one for one in self.truth if first <= one < last}
        if changes:
            joined = [thin(run) if len(run) > 1 else run[0] for run in runs]
            self.log.append(changed(uid, 1, joined, read_pages(self.files[uid].path)))
        self.files[uid].checkpoint()

    def flush_all(self) -> None:
        for uid in self.files:
            self.flush(uid)

    def delete(self, uid: int) -> None:
        self.flush(uid)
        file, mark, node = self.files.pop(uid), self.mark(), self.nodes.pop(uid)
        file.close()
        last = Image(file.size, read_pages(file.path))
        self.log.append(deleted(uid, 1, mark, node, last))
        file.path.unlink()
        self.note(mark)

    def rename(self, uid: int, name: str) -> None:
        mark, was = self.mark(), self.nodes[uid]
        self.nodes[uid] = was._replace(name=name)
        self.log.append([moved(uid, 1, mark, was)])
        self.note(mark)

    def replace(self, uid: int, pages: dict[int, bytes]) -> None:
        """Bind a new generation with these pages, as a restore does."""
        self.flush(uid)
        file, mark = self.files[uid], self.mark()
        file.close()
        old = Image(file.size, read_pages(file.path))
        self.log.append(bound(uid, 2, mark, old, Image(len(pages), pages.__getitem__)))
        path = file.path.with_suffix(f".{self.sequence}.db")
        new = self.files[uid] = SqliteFile(path)
        new.close()
        write_pages(path, pages.items())
        new.db = apsw.Connection(str(path))
        for _ in new.db.execute(SETUP):
            pass
        new.reader = FrameReader(path.with_name(path.name + "-wal"))
        new.db.set_wal_hook(new._committed)
        new.size, new.images = len(pages), dict(pages)
        self.note(mark)

    def current(self, uid: int) -> Image:
        return Image(self.files[uid].size, read_pages(self.files[uid].path))

    def rewind(self, bookmark: Bookmark, log: TreeLog | None = None) -> TreeState:
        return rewind(log or self.log, self.nodes, self.current, bookmark)

    def check(self, bookmark: Bookmark, log: TreeLog | None = None) -> None:
        """The tree at a bookmark is, page by page, what it was; and SQLite finds it sound."""
        state = self.rewind(bookmark, log)
        was = self.truth[bookmark]
        assert state.databases.keys() == was.keys()
        for uid, (node, images) in was.items():
            database = state.databases[uid]
            pages = dict(database.pages())
            assert (database.node, database.size) == (node, len(images))
            assert list(pages) == sorted(images)
            assert pages == images
            target = self.folder / "restored.db"
            write_pages(target, pages.items())
            content(target)
            target.unlink()

    def check_all(self, log: TreeLog | None = None) -> int:
        oldest = (log or self.log).oldest.bookmark
        kept = [one for one in self.truth if one >= oldest and one not in self.joined]
        for bookmark in kept:
            self.check(bookmark, log)
        return len(kept)

    def close(self) -> None:
        for file in self.files.values():
            file.close()


def statements(rng: random.Random) -> list[str]:
    """A few changes: rows that come, grow, shrink, move between pages and go."""
    some, many = rng.randint(1, 200), rng.randint(5000, 30000)
    nodes = "with recursive n(i) as (select 1 union all select i + 1 from n where i < {})"
    kinds = [
        f"insert into rows(key, body) values ('{rng.random()}', randomblob({some}))",
        f"insert into rows(key, body) values ('long', randomblob({many}))",
        f"{nodes.format(40)} insert into rows(key, body) "
        "select hex(randomblob(20)), randomblob(300) from n",
        f"update rows set body = randomblob({some * 9}) where id % 7 = {many % 7}",
        f"delete from rows where id % 5 = {many % 5}",
        "delete from rows",
        f"insert or replace into words values ('w{some}', {many})",
        f"{nodes.format(200)} insert or replace into words select 'w' || i, i from n",
        "create table if not exists extra(a, b unique); drop table extra",
    ]
    chosen = rng.choices(kinds, weights=[6, 2, 2, 3, 2, 1, 4, 1, 1], k=rng.randint(1, 3))
    # A counter makes sure that the commit changes something.
    return [*chosen, f"pragma user_version={rng.randint(1, 1 << 30)}"]
