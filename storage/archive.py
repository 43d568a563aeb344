"""One file that holds a subtree: export and import.

A tar with `manifest.json` first and then one database file for each actor that has one:

    manifest.json   {"format": 1, "actors": [{"parent": index or null, "kind": .., "name": ..,
                     "file": "0.db" or null, "size": bytes, "sha256": hex}, ..]}
    0.db, 1.db ..   complete SQLite databases
    objects/HASH    large contents that files in them refer to, each once

Parents come before their children, and the first actor is the root. An import trusts nothing in
it: names, order, sizes, hashes and versions must be as the manifest says and as above, and each
database must pass SQLite's own integrity check, before anything is put in place.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import apsw
import msgspec

from storage.catalogue import Row
from storage.clone import Source, adopt
from storage.databases import uid_above
from storage.errors import BadArchive
from storage.files.chunks import digest_of, object_key
from storage.graft import Graft
from storage.limits import PAGE_SIZE
from storage.members import Members
from storage.objects.store import ObjectStore
from storage.reading import look_at_copy
from storage.template import APPLICATION_ID

if TYPE_CHECKING:
    from storage.database import Database
    from storage.store import Store

FORMAT = 1
MANIFEST = "manifest.json"
MAX_MANIFEST = 256 << 20
MAX_OBJECT = 16 << 20


class Item(msgspec.Struct, forbid_unknown_fields=True):
    """One actor of an archive."""

    parent: int | None
    kind: str
    name: str
    file: str | None
    size: int
    sha256: str


class Manifest(msgspec.Struct, forbid_unknown_fields=True):
    """What the archive says of itself."""

    format: int
    actors: list[Item]
    objects: list[str] = []
    """Keys of large contents."""


class Export:
    """A subtree on its way into a file: `work` on any thread, then `close` on the store's.

    What it holds may be ahead of the disk: wait until `sequence` is durable before you show it.
    """

    def __init__(self, store: Store, database: Database, path: Path, *, sync: bool = True) -> None:
        """Without `sync` the file may not survive the machine."""
        self._sync = sync
        self._source = Source(store, database)
        self._store = store
        self._path = path
        self.sequence = self._source.sequence
        store.objects.hold()
        for one in self._source.held:
            one.held += 1

    def work(self) -> None:
        """Write the file; it appears complete or not at all."""
        staging = self._store.layout.staging
        staging.mkdir(exist_ok=True)
        index = {row.uid: i for i, row in enumerate(self._source.rows)}
        items: list[Item] = []
        files: list[Path] = []
        objects: set[str] = set()
        new = self._path.with_name(self._path.name + ".part")
        try:
            for i, row in enumerate(self._source.rows):
                file = staging / f"export-{id(self)}-{i}.db"
                make = self._source.make(row)
                if make is not None:
                    make(file)
                    files.append(file)
                    objects |= look_at_copy(file).objects
                parent = index.get(row.parent) if i else None
                items.append(_item(i, parent, row, file if make else None))
            _write(new, Manifest(FORMAT, items, sorted(objects)), files, self._store.objects)
            if self._sync:
                _sync(new)
            new.replace(self._path)
        finally:
            new.unlink(missing_ok=True)
            for file in files:
                file.unlink(missing_ok=True)

    def close(self) -> None:
        """Let the databases go."""
        self._store.objects.let_go()
        for one in self._source.held:
            one.held -= 1


def _item(index: int, parent: int | None, row: Row, file: Path | None) -> Item:
    if file is None:
        return Item(parent, row.kind, row.name, None, 0, "")
    with file.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    return Item(parent, row.kind, row.name, f"{index}.db", file.stat().st_size, digest)


def _write(path: Path, manifest: Manifest, files: list[Path], objects: ObjectStore) -> None:
    said = msgspec.json.encode(manifest)
    names = [item.file for item in manifest.actors if item.file]
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        head = tarfile.TarInfo(MANIFEST)
        head.size = len(said)
        tar.addfile(head, io.BytesIO(said))
        for name, file in zip(names, files, strict=True):
            info = tarfile.TarInfo(name)
            info.size = file.stat().st_size
            with file.open("rb") as source:
                tar.addfile(info, source)
        for key in manifest.objects:
            data = objects.get(key)
            info = tarfile.TarInfo(f"objects/{key.rpartition('/')[2]}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def _sync(path: Path) -> None:
    with path.open("rb") as written:
        os.fsync(written.fileno())


def import_(store: Store, path: Path, target: Database) -> Graft:
    """The subtree in an archive, to take the place of `target`, under that name and kind.

    Reads only the manifest now; `Graft.work` reads and checks the rest. `BadArchive` says what
    is odd; nothing is changed then, but that large contents may be there that nobody refers to.
    """
    manifest = _read_manifest(path)
    actors = manifest.actors
    source = _Source(path)
    rows = [
        Row(-1 - i, -1 - (item.parent or 0) if i else 0, item.kind, item.name, 1, 0)
        for i, item in enumerate(actors)
    ]

    def make(row: Row) -> Callable[[Path], None] | None:
        item = actors[-1 - row.uid]
        return None if item.file is None else partial(_extract, source, item)

    scions = adopt(store, target, uid_above(target), rows, make)
    return Graft(store, target, scions, amid=_opened(source, manifest.objects, store.objects))


def _read_manifest(path: Path) -> Manifest:
    try:
        with tarfile.open(path, "r:") as tar:
            head = tar.next()
            if head is None or head.name != MANIFEST or not head.isreg():
                raise _bad(path, "it does not begin with a manifest")
            if head.size > MAX_MANIFEST:
                raise _bad(path, f"its manifest has {head.size} bytes")
            source = tar.extractfile(head)
            said = source.read() if source else b""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise _bad(path, str(error)) from error
    try:
        version = msgspec.json.decode(said, type=dict).get("format")
        if version != FORMAT:
            raise _bad(path, f"it has format {version!r}, this version reads {FORMAT}")
        manifest = msgspec.json.decode(said, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _bad(path, f"its manifest: {error}") from error
    for problem in _odd(manifest):
        raise _bad(path, problem)
    return manifest


@contextmanager
def _opened(source: _Source, keys: list[str], objects: ObjectStore) -> Iterator[None]:
    """While the members of an archive are read; large contents come first."""
    with ExitStack() as stack:
        with _as_bad(source.path):
            source.members = stack.enter_context(Members(source.path))
            _bring_objects(source, keys, objects)
        yield


@dataclass(slots=True)
class _Source:
    """An archive that is being imported."""

    path: Path
    members: Members = field(init=False)


@contextmanager
def _as_bad(path: Path, name: str = "") -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, KeyError) as error:
        raise _bad(path, f"{name}: {error}" if name else str(error)) from error


def _bring_objects(source: _Source, keys: list[str], objects: ObjectStore) -> None:
    """Put large contents where files look for them; their names are their hashes, checked."""
    for key in keys:
        name = f"objects/{key.rpartition('/')[2]}"
        if source.members.size(name) > MAX_OBJECT:
            raise _bad(source.path, f"{name} is not a file of at most {MAX_OBJECT} bytes")
        data = b"".join(source.members.pieces(name))
        if object_key(digest_of(data)) != key:
            raise _bad(source.path, f"{name} does not have the hash that it is named by")
        objects.put(key, data)


def _odd(manifest: Manifest) -> Iterator[str]:
    if not manifest.actors:
        yield "it holds nothing"
    seen: set[tuple[int | None, str]] = set()
    for i, item in enumerate(manifest.actors):
        if (item.parent is None) != (i == 0) or (item.parent or 0) > max(i - 1, 0):
            yield f"actor {i} does not come behind its parent"
        if (item.parent or 0) < 0 or (i and (not item.name or item.kind)):
            yield f"actor {i} has no proper name"
        if item.file is not None and (item.file != f"{i}.db" or item.size % PAGE_SIZE):
            yield f"actor {i} names {item.file!r} of {item.size} bytes"
        if (item.parent, item.name) in seen:
            yield f"actor {i} has the name of another"
        seen.add((item.parent, item.name))


def _extract(source: _Source, item: Item, target: Path) -> None:
    assert item.file is not None  # noqa: S101 - those alone have a maker
    digest = hashlib.sha256()
    with _as_bad(source.path, item.file):
        if source.members.size(item.file) != item.size:
            raise _bad(source.path, f"{item.file} is not a file of {item.size} bytes")
        with target.open("wb") as out:
            for piece in source.members.pieces(item.file):
                digest.update(piece)
                out.write(piece)
    if digest.hexdigest() != item.sha256:
        raise _bad(source.path, f"{item.file} does not have the hash that the manifest says")
    _check_database(source.path, item, target)


def _check_database(archive: Path, item: Item, target: Path) -> None:
    """It must be a database of ours and whole; opened without its extensions or triggers run."""
    try:
        db = apsw.Connection(
            f"file:{quote(str(target))}?immutable=1",
            apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
        )
        try:
            db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
            db.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
            found = db.pragma("application_id"), db.pragma("page_size")
            checked = next(iter(db.execute("pragma integrity_check(1)")))[0]
        finally:
            db.close()
    except apsw.Error as error:
        raise _bad(archive, f"{item.file}: {error}") from error
    with target.open("rb") as file:
        head = file.read(100)
    if head[18:20] != b"\2\2" or any(head[52:56]):
        # Without a -wal its commits would never reach the journal; the map pages of
        # auto_vacuum can look like b-tree pages with a gap.
        raise _bad(archive, f"{item.file} is not in WAL mode, or moves its pages")
    if found != (APPLICATION_ID, PAGE_SIZE):
        raise _bad(archive, f"{item.file} is not a database of an actor")
    if checked != "ok":
        raise _bad(archive, f"{item.file} is damaged: {checked}")


def _bad(path: Path, why: str) -> BadArchive:
    return BadArchive(f"{path} cannot be imported: {why}", path=str(path))
