"""Contents by hash, each kept once: in the database, or as an object of the store.

An object is put before the row that names it exists, so a committed row never names a missing
object. Nothing here deletes objects: history and clones may still name them (see
`storage.sweep`).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from storage.errors import FileDamaged
from storage.files.tables import Tables
from storage.objects.store import ObjectStore

if TYPE_CHECKING:
    from storage.database import Database

CHUNK = 64 << 10
"""Bytes of a piece in the database. A change in the middle writes one anew, so it is small
against a step's other costs; 16 pages a row keep the share of rows and keys under 1 %."""
OBJECT = 1 << 20
"""Bytes of a piece in the store, where each costs a request."""

Buffer = bytes | bytearray | memoryview


def object_key(digest: bytes) -> str:
    """The key of the object with this content."""
    text = digest.hex()
    return f"files/{text[:2]}/{text}"


def check_object(key: str, data: Buffer) -> None:
    """`FileDamaged` if that is not the object of this key."""
    if object_key(digest_of(data)) != key:
        raise FileDamaged(f"the object {key} is damaged", path="", key=key)


def referenced(database: Database) -> set[str]:
    """Keys of all objects that the files of a database are made of, as of the current step."""
    rows = Tables(database).read("select hash from _facets_files_chunks where object = 1")
    return {object_key(digest) for (digest,) in rows}


class Chunks:
    """The table of chunks, and the store behind it."""

    __slots__ = ("_cached", "_objects", "_tables")

    def __init__(self, tables: Tables, objects: ObjectStore | None) -> None:
        self._tables = tables
        self._objects = objects
        self._cached: tuple[bytes, bytes] = (b"", b"")
        """The object read last: small reads in a row would fetch it each time. What has its
        hash is the same for ever, so this is never stale."""

    @property
    def spills(self) -> bool:
        """Whether large contents go to a store of their own."""
        return self._objects is not None and self._tables.database.spills

    def intern(self, data: Buffer, *, as_object: bool) -> int:
        """The number of the chunk with this content, which is kept if it is new.

        Belongs inside `Tables.change`, and an extent has to use it before that ends.
        """
        digest = digest_of(data)
        found = self._find(digest, as_object)
        if found is not None:
            return found
        if as_object:
            self.put(data)
        chunk = self.adopt(digest, as_object=as_object)
        if not as_object:
            self._tables.write("insert into _facets_files_data values (?, ?)", chunk, data)
        return chunk

    def put(self, data: Buffer) -> bytes:
        """Put an object; its hash. Touches no database, so any thread may do it."""
        assert self._objects is not None  # noqa: S101 - `spills` was asked
        digest = digest_of(data)
        self._objects.put(object_key(digest), bytes(data))
        return digest

    def adopt(self, digest: bytes, *, as_object: bool = True) -> int:
        """The number of the chunk with this hash, whose content is, or is about to be, kept."""
        found = self._find(digest, as_object)
        if found is not None:
            return found
        query = "insert into _facets_files_chunks(hash, object) values (?, ?) returning id"
        return int(self._tables.write(query, digest, int(as_object))[0][0])

    def _find(self, digest: bytes, as_object: bool) -> int | None:
        query = "select id from _facets_files_chunks where hash = ? and object = ?"
        rows = self._tables.write(query, digest, int(as_object))
        return int(rows[0][0]) if rows else None

    def load(self, chunk: int, *, is_object: bool) -> bytes:
        """The content of a chunk. Blocks on the store for an object."""
        if is_object:
            return self.get(self.digest(chunk))
        rows = self._tables.read("select data from _facets_files_data where id = ?", chunk)
        return bytes(rows[0][0])

    def digest(self, chunk: int) -> bytes:
        """The hash of a chunk."""
        rows = self._tables.read("select hash from _facets_files_chunks where id = ?", chunk)
        return bytes(rows[0][0])

    def get(self, digest: bytes) -> bytes:
        """The object with this hash. Touches no database, so any thread may do it.

        Raises what the store raises, and `FileDamaged` if it gave other bytes.
        """
        known, data = self._cached
        if known == digest:
            return data
        key = object_key(digest)
        if self._objects is None:
            raise FileDamaged(
                f"the object {key} is needed and there is no object store",
                hint="open the store with the objects it was written with",
                path="",
                key=key,
            )
        data = self._objects.get(key)
        check_object(key, data)
        self._cached = (digest, data)
        return data


def digest_of(data: Buffer) -> bytes:
    """What a content is known by."""
    return blake2b(data, digest_size=32).digest()
