"""A snapshot: one database, all its pages as of one sequence, compressed.

Little-endian: magic "FSNP" | format u32 | uid u64 | generation u32 | sequence u64 |
image length u64 | image crc u32 | header crc u32 | the image, by zlib.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from storage.errors import ObjectMissing, ReplicaCorrupt
from storage.objects.store import ObjectStore
from storage.replica.manifest import Snapshot

MAGIC = b"FSNP"
FORMAT = 1
_HEADER = struct.Struct("<4sIQIQQI")
_CRC = struct.Struct("<I")
_LEVEL = 1
"""Pages are mostly text and zeros: the higher levels take five times longer for a tenth."""


class Image(NamedTuple):
    """A database file as of a sequence: every record of it up to there is in, and none behind.

    `data` is None if the database is gone as of that sequence.
    """

    generation: int
    sequence: int
    data: bytes | None


def encode(uid: int, generation: int, sequence: int, image: bytes) -> bytes:
    """A snapshot as an object."""
    head = _HEADER.pack(MAGIC, FORMAT, uid, generation, sequence, len(image), zlib.crc32(image))
    return b"".join((head, _CRC.pack(zlib.crc32(head)), zlib.compress(image, _LEVEL)))


def read(store: ObjectStore, host: str, snapshot: Snapshot) -> bytes:
    """The image of a snapshot; `ReplicaCorrupt` if it is not there, or not intact. Blocks."""
    key = snapshot.key(host)
    try:
        return _decode(key, snapshot, store.get(key))
    except ObjectMissing as error:
        raise ReplicaCorrupt(f"{key} has gone", key=key) from error


def _decode(key: str, snapshot: Snapshot, data: bytes) -> bytes:
    end = _HEADER.size + _CRC.size
    if len(data) < end or _CRC.unpack_from(data, _HEADER.size)[0] != zlib.crc32(
        data[: _HEADER.size]
    ):
        raise _corrupt(key, "its header is")
    magic, found, uid, generation, sequence, length, crc = _HEADER.unpack_from(data)
    if magic != MAGIC or found != FORMAT:
        raise _corrupt(key, f"its format, {found}, is not known here, or it is")
    if (uid, generation, sequence) != (snapshot.uid, snapshot.generation, snapshot.sequence):
        raise _corrupt(key, f"it is database {uid} as of {sequence}, or it is")
    try:
        image = zlib.decompress(data[end:], bufsize=max(length, 1))
    except zlib.error as error:
        raise _corrupt(key, "its content is") from error
    if len(image) != length or zlib.crc32(image) != crc:
        raise _corrupt(key, "its content is")
    return image


def _corrupt(key: str, why: str) -> ReplicaCorrupt:
    return ReplicaCorrupt(f"{key} is of no use: {why} damaged", key=key)
