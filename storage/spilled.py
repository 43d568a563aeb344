"""Where large contents are, and which of them may go.

Nothing says of an object that it is not needed any more: rows of any actor may name it, now or in
a past that can be restored. So a sweep (`storage.sweep`) looks at all databases now and then, and
what none of them named is a candidate as of that moment. A candidate goes when no history leads
back to that moment any more, and it was not needed in between. That is known because everything
that may bring a reference back says so here first: a put, and whoever puts other files in place
(`touch`). A touched candidate is none any more, durably, before the reference can be committed.

sweep.json     {"format": 1, "generations": [{"epoch": .., "sequence": .., "uids": .., "keys": ..}]}

A generation is what one sweep found first: no database named these keys after that bookmark. Trees
whose root has a uid of `uids` or more began later. A lost file costs time and nothing else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from storage.disk import Disk
from storage.errors import StateFormat
from storage.history.bookmark import Bookmark
from storage.objects.store import ObjectStore

NAME = "sweep.json"
FORMAT = 1
PREFIX = "files/"
GRACE = 3600.0
"""Seconds for which a put object may wait for its first reference: a stream puts before it has a
step, and an import before it has a database."""


class Generation(msgspec.Struct, frozen=True):
    """Candidates of one sweep."""

    epoch: int
    sequence: int
    uids: int
    keys: tuple[str, ...]

    @property
    def bookmark(self) -> Bookmark:
        """No database named them after it."""
        return Bookmark(self.epoch, self.sequence)

    def only(self, keys: Collection[str]) -> Generation:
        """Without the others."""
        return msgspec.structs.replace(self, keys=tuple(key for key in self.keys if key in keys))


class _Content(msgspec.Struct):
    format: int
    generations: tuple[Generation, ...]


class Spilled:
    """The objects of one open store: an `ObjectStore` that knows candidates. Thread-safe."""

    def __init__(self, objects: ObjectStore, disk: Disk, root: Path) -> None:
        self._objects = objects
        self._disk = disk
        self._path = root / NAME
        self._lock = threading.Condition()
        self._generations: Sequence[Generation] = self._read()
        self._touched: dict[str, float] = {}
        """When, by `time.monotonic`; for `GRACE`, and as long as a sweep needs it."""
        self._holds = 0
        self._deleting = ""
        self.removed = 0
        """How many objects this process has removed."""

    # -- an object store ------------------------------------------------------------------

    def get(self, key: str) -> bytes:
        """As `ObjectStore`."""
        return self._objects.get(key)

    def put(self, key: str, data: bytes) -> None:
        """As `ObjectStore`; from now on it is no candidate."""
        self.touch((key,))
        self._objects.put(key, data)

    def create(self, key: str, data: bytes) -> bool:
        """As `ObjectStore`; from now on it is no candidate."""
        self.touch((key,))
        return self._objects.create(key, data)

    def list(self, prefix: str, after: str = "") -> list[str]:
        """As `ObjectStore`."""
        return self._objects.list(prefix, after)

    def delete(self, key: str) -> None:
        """As `ObjectStore`."""
        self._objects.delete(key)

    # -- what is needed -------------------------------------------------------------------

    def touch(self, keys: Collection[str]) -> None:
        """These are about to be referred to. Durable on return; waits while one is deleted."""
        if not keys:
            return
        with self._lock:
            while self._deleting in keys:
                self._lock.wait()
            now = time.monotonic()
            self._touched.update(dict.fromkeys(keys, now))
            wanted = set(keys)
            if any(not wanted.isdisjoint(one.keys) for one in self._generations):
                kept = [one.only(set(one.keys) - wanted) for one in self._generations]
                self._write([one for one in kept if one.keys])

    def hold(self) -> None:
        """Nothing is deleted until `let_go`: files that name objects are on their way."""
        with self._lock:
            self._holds += 1

    def let_go(self) -> None:
        """The end of a `hold`."""
        with self._lock:
            self._holds -= 1

    # -- for the sweep --------------------------------------------------------------------

    def settle(self, unnamed: set[str], since: float, found: Generation) -> Sequence[Generation]:
        """No database named these, in a sweep that began at `since`; the candidates by age.

        `found` takes the new ones. Durable on return.
        """
        with self._lock:
            until = min(since, time.monotonic() - GRACE)
            self._touched = {key: at for key, at in self._touched.items() if at >= until}
            unnamed = unnamed - self._touched.keys()
            known = [one.only(unnamed) for one in self._generations]
            fresh = unnamed - {key for one in known for key in one.keys}
            known.append(msgspec.structs.replace(found, keys=tuple(sorted(fresh))))
            self._write([one for one in known if one.keys])
            return self._generations

    def remove(self, key: str) -> bool:
        """Delete a candidate, if it still is one and nothing is held; whether it went. Blocks."""
        with self._lock:
            if self._holds or all(key not in one.keys for one in self._generations):
                return False
            self._deleting = key
        try:
            self._objects.delete(key)
            self.removed += 1
        finally:
            with self._lock:
                self._deleting = ""
                self._lock.notify_all()
        return True

    # -- under the lock -------------------------------------------------------------------

    def _write(self, generations: Sequence[Generation]) -> None:
        if tuple(generations) == self._generations:
            return  # and nobody waits for the disk
        new = self._path.with_name(NAME + ".new")
        self._disk.write_file(
            new, msgspec.json.encode(_Content(FORMAT, tuple(generations))), sync=True
        )
        self._disk.rename(new, self._path)
        self._disk.sync_directory(self._path.parent)
        self._generations = tuple(generations)

    def _read(self) -> Sequence[Generation]:
        if not self._path.exists():
            return ()
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=_Content)
        except msgspec.DecodeError as error:
            said = f"{self._path} is damaged: {error}"
            hint = "remove it: nothing but candidates for removal is lost"
            raise StateFormat(said, hint=hint, path=str(self._path), found="") from error
        return found.generations
