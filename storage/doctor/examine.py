"""Examine a directory that nobody owns, without changing anything in it.

Databases are examined as recovery would leave them: those that the journal names as copies in a
temporary folder with its records laid over, the others where they lie, without their -wal.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import apsw

from storage.catalogue import HOMES, Row
from storage.disk import Disk
from storage.doctor.report import Finding, Report, Severity, Sizes
from storage.doctor.scan import Scan, scan
from storage.errors import StateFormat
from storage.format import FORMAT
from storage.layout import Layout
from storage.limits import PAGE_SIZE
from storage.lock import Lock
from storage.reading import look, reading
from storage.recovery import Folded, fold
from storage.replica.lineage import NAME as LINEAGE
from storage.spilled import PREFIX
from storage.template import APPLICATION_ID

LOST = "lost+found"
_FILE = re.compile(r"(\d+)(?:\.(\d+))?\.db(-wal|-shm)?")
_RESTORE = "restore the file from a copy, or delete the actor"
RESTORE = "restore the folder; with the loss accepted, a repair goes on with the files as they are"


def examine(root: Path | str, disk: Disk | None = None) -> Report:
    """What state the directory is in; nothing in it is changed but the name in `lock`.

    Blocks, and needs room in the temporary folder for the largest database that the journal
    names. `StateInUse` if a live process has it, `StateFormat` if it is not ours.
    """
    with owned(root, disk) as (layout, disk):
        return Examination(layout, disk).report()


@contextmanager
def owned(root: Path | str, disk: Disk | None) -> Iterator[tuple[Layout, Disk]]:
    """Hold the lock of a directory that is ours already."""
    layout = Layout(Path(root))
    path = layout.root / "format"
    found = path.read_text(errors="replace") if path.is_file() else ""
    if found != FORMAT:
        raise StateFormat(
            f"{root} is not a state directory of this version", path=str(root), found=found
        )
    lock = Lock(layout.root)
    try:
        yield layout, disk or Disk()
    finally:
        lock.release()


class Examination:
    """One look at a directory whose lock is held."""

    def __init__(self, layout: Layout, disk: Disk) -> None:
        self.layout = layout
        self.disk = disk
        self.findings: list[Finding] = []
        self.orphans: list[Path] = []
        """Files that no row names."""
        self.broken: list[Path] = []
        """Database files of actors that are damaged."""
        self.scan: Scan = scan(disk, layout.journal)
        self._folded: dict[int, Folded] = fold(self.scan.records)
        self._examined = 0
        self._homes: set[int] = set()
        """Histories that go on without the root that they began with."""
        self._named: set[str] = set()
        """Keys of large contents."""
        self.findings += self.scan.findings
        self.no_journal = not self.scan.chain and any(layout.databases.iterdir())
        if self.no_journal and not self.scan.damaged:
            self._find(Severity.ERROR, layout.journal, "there is no readable segment", RESTORE)
        with tempfile.TemporaryDirectory(prefix="facets-doctor-") as folder:
            self._aside = Layout(Path(folder))
            self.rows = self._examine_catalogue()
            """None if the catalogue cannot be read."""
            for row in self.rows or []:
                if row.file:
                    self._examine_row(row)
        if self.rows is not None:
            self._look_for_orphans(self.rows)
            self._look_for_histories(self.rows)
            self._look_for_contents()
        self._look_aside()

    def report(self, done: tuple[str, ...] = ()) -> Report:
        """All of it."""
        return Report(
            self.layout.root,
            len(self.rows or []),
            self._examined,
            self.scan.state(),
            self._sizes(),
            tuple(sorted(self.findings, key=lambda one: (-one.severity, one.path))),
            done,
        )

    def _find(self, severity: Severity, path: Path, what: str, hint: str = "") -> None:
        name = str(path.relative_to(self.layout.root))
        self.findings.append(Finding(severity, name, what, hint))

    # -- databases ----------------------------------------------------------------------

    def _examine_catalogue(self) -> list[Row] | None:
        path = self.layout.path(0)
        with self._recovered(0, 1) as file:
            problem = "it is missing" if file is None else check(file)
            if problem or file is None:
                hint = "restore it; without it nobody knows whose the other files are"
                self._find(Severity.ERROR, path, problem, hint)
                return None
            self._examined += 1
            with reading(file) as db:
                query = "select uid, parent, kind, name, generation, file from actors order by uid"
                rows = [Row(*found) for found in db.execute(query)]
                self._homes = {home for (home,) in db.execute(HOMES)}
        uids = {0, *(row.uid for row in rows)}
        for row in rows:
            if row.parent not in uids:
                what = f"{row.name!r} (uid {row.uid}) is below uid {row.parent}, which is not there"
                self._find(Severity.ERROR, path, what)
        return rows

    def _examine_row(self, row: Row) -> None:
        path = self.layout.path(row.uid, row.generation)
        whose = f"{row.kind or 'a facet'} {row.name!r}"
        folded = self._folded.get(row.uid)
        if folded is not None and (folded.deleted or folded.generation != row.generation):
            what = f"catalogue and journal disagree about generation {row.generation} of {whose}"
            self._find(Severity.ERROR, path, what, _RESTORE)
            return
        with self._recovered(row.uid, row.generation) as file:
            if file is None:
                self._find(Severity.ERROR, path, f"the database of {whose} is missing", _RESTORE)
                return
            self._examined += 1
            if problem := check(file):
                self.broken.append(path)
                self._find(Severity.ERROR, path, f"the database of {whose}: {problem}", _RESTORE)
            else:
                self._named |= look(file).objects

    @contextmanager
    def _recovered(self, uid: int, generation: int) -> Iterator[Path | None]:
        """The file of a database as recovery would leave it; None if there is none."""
        path = self.layout.path(uid, generation)
        folded = self._folded.get(uid)
        if folded is None:
            yield path if path.exists() else None
            return
        copy = self._aside.path(uid, generation)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not folded.created:
            shutil.copyfile(path, copy)
        folded.write(self.disk, self._aside, uid)
        yield copy if copy.exists() else None
        copy.unlink(missing_ok=True)

    # -- other files --------------------------------------------------------------------

    def _look_for_orphans(self, rows: list[Row]) -> None:
        known = {(row.uid, row.generation) for row in rows if row.file}
        for path in sorted(self.layout.databases.rglob("*")):
            if path.is_dir():
                continue
            match = _FILE.fullmatch(path.name)
            if match is None or path.parent != self.layout.folder(int(match[1])):
                self._find(Severity.WARNING, path, "it does not belong here", "repair moves it")
                self.orphans.append(path)
            elif (key := (int(match[1]), int(match[2] or 1))) not in known:
                self._look_at_orphan(path, *key)

    def _look_at_orphan(self, path: Path, uid: int, generation: int) -> None:
        folded = self._folded.get(uid)
        if folded is not None and (folded.deleted or generation in folded.stale):
            self._find(Severity.NOTE, path, "its deletion is in the journal")
            return
        what = "no row of the catalogue names it: a crash left it behind, or a file was restored"
        self._find(Severity.WARNING, path, what, "repair moves it")
        self.orphans.append(path)

    def _look_for_histories(self, rows: list[Row]) -> None:
        """Histories of trees that are not there; the end of one may be in the journal."""
        roots = {row.uid for row in rows if not row.parent} | self._homes
        for path in sorted(self.layout.history.glob("??/*")):
            known = path.name.isdecimal() and path.parent.name == f"{int(path.name) & 255:02x}"
            if known and (int(path.name) in roots or int(path.name) in self._folded):
                continue
            self._find(Severity.WARNING, path, "the history of no actor", "repair moves it")
            self.orphans.append(path)

    def _look_for_contents(self) -> None:
        """Large contents that are missing, and how many nobody names; elsewhere in a replica."""
        if (self.layout.root / LINEAGE).exists():
            return
        folder = self.layout.objects
        there = {str(path.relative_to(folder)) for path in folder.glob(f"{PREFIX}??/*")}
        for key in sorted(self._named - there):
            what = "a file is made of it, and it is missing"
            self._find(Severity.ERROR, folder / key, what, "restore it from a copy")
        if spare := there - self._named:
            what = f"{len(spare)} contents are in no file now; the past may need them"
            self._find(Severity.NOTE, folder / PREFIX, what)

    def _look_aside(self) -> None:
        for name in ("staging", LOST):
            for path in sorted((self.layout.root / name).rglob("*")):
                if path.is_file():
                    what = "it was never completed" if name == "staging" else "it was set aside"
                    hint = "" if name == "staging" else "remove it when it is not needed any more"
                    self._find(Severity.NOTE, path, what, hint)

    def _sizes(self) -> Sizes:
        sizes = Sizes()
        for path in self.layout.root.rglob("*"):
            if path.is_file():
                group = _group(path.relative_to(self.layout.root))
                size = getattr(sizes, group) + path.stat().st_size
                sizes = replace(sizes, **{group: size})
        return sizes


def _group(path: Path) -> str:
    top = path.parts[0]
    if path.name.endswith("-wal"):
        return "wal"
    if top in ("db", "catalogue.db"):
        return "databases"
    return top if top in ("journal", "history", "objects") else "other"


def check(path: Path) -> str:
    """What is wrong with a database file; "" if nothing is."""
    with path.open("rb") as file:
        head = file.read(100)
    if head[18:20] != b"\2\2":
        return "it is not a database in WAL mode"
    try:
        with reading(path) as db:
            found = db.pragma("application_id"), db.pragma("page_size")
            if found != (APPLICATION_ID, PAGE_SIZE):
                return "it is not a database of ours"
            problems = [row[0] for row in db.execute("pragma integrity_check(3)")]
    except apsw.Error as error:
        return str(error)
    return "" if problems == ["ok"] else "; ".join(problems)
