"""One slot of the log as an object.

Little-endian:

    header   magic "FLOG" | format u16 | kind u16 | token u64 | slot u64 | nonce 16 |
             won u64 | first sequence u64 | last sequence u64 | count u32 | host length u32 |
             body length u64 | body crc u32 | header crc u32, over the header and the host
    host     its name
    body     of RECORDS: count times, sequence u64 | length u32 | bytes
             of a SEAL: the token that sealed, u64

The nonce is that of the writer's lease. `won` is the newest slot of the unbroken prefix that the
writer had won when it made this one: a hole below it is damage, a hole above it is a put that has
not arrived. A seal ends an incarnation: no slot behind it counts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

from storage.errors import ReplicaCorrupt
from storage.replica.names import Position, slot_key

MAGIC = b"FLOG"
FORMAT = 2
RECORDS, SEAL = 1, 2
_HEADER = struct.Struct("<4sHHQQ16sQQQIIQI")
_CRC = struct.Struct("<I")
_RECORD = struct.Struct("<QI")
_TOKEN = struct.Struct("<Q")

LogRecord = tuple[int, bytes]
"""A sequence, and bytes that mean nothing to the log."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot found intact."""

    position: Position
    kind: int
    nonce: bytes
    won: int
    first: int
    last: int
    count: int
    body: bytes

    @property
    def is_seal(self) -> bool:
        """Whether the incarnation ends here."""
        return self.kind == SEAL

    @property
    def sealed_by(self) -> int:
        """The token that sealed; of a seal only."""
        return int(_TOKEN.unpack(self.body)[0])

    def records(self) -> Iterator[LogRecord]:
        """What it holds, in order."""
        at = 0
        for _ in range(0 if self.is_seal else self.count):
            sequence, length = _RECORD.unpack_from(self.body, at)
            at += _RECORD.size
            yield sequence, self.body[at : at + length]
            at += length


def encode_records(
    host: str, position: Position, nonce: bytes, won: int, records: Sequence[LogRecord]
) -> bytes:
    """A slot of records, whose sequences follow one another; at least one."""
    parts: list[bytes] = []
    for sequence, data in records:
        parts += (_RECORD.pack(sequence, len(data)), data)
    ends = (records[0][0], records[-1][0])
    return _encode(RECORDS, host, position, nonce, won, ends, len(records), b"".join(parts))


def encode_seal(host: str, position: Position, nonce: bytes, by: int) -> bytes:
    """The seal that the incarnation `by` sets."""
    return _encode(SEAL, host, position, nonce, position.slot - 1, (0, 0), 0, _TOKEN.pack(by))


def decode(host: str, position: Position, data: bytes) -> Slot:
    """The slot that these bytes are; `ReplicaCorrupt` if they are not that very slot, intact."""
    end = _HEADER.size + _CRC.size
    if len(data) < end or data[:4] != MAGIC:
        raise _corrupt(host, position, "it is not a slot of a log")
    fields = _HEADER.unpack_from(data)
    found, kind, token, slot, nonce, won, first, last, count, named, length, crc = fields[1:]
    name, body = data[end : end + named], data[end + named :]
    if _CRC.unpack_from(data, _HEADER.size)[0] != crc32(name, crc32(data[: _HEADER.size])):
        raise _corrupt(host, position, "its header is damaged")
    if found != FORMAT or kind not in (RECORDS, SEAL):
        raise _corrupt(host, position, f"it is of format {found}, kind {kind}, unknown here")
    if len(body) != length or crc32(body) != crc:
        raise _corrupt(host, position, "its content is damaged")
    if (name, token, slot) != (host.encode(), *position):
        raise _corrupt(host, position, f"it is slot {slot} of {name.decode()}, token {token}")
    return Slot(position, kind, nonce, won, first, last, count, body)


def _encode(
    kind: int,
    host: str,
    position: Position,
    nonce: bytes,
    won: int,
    ends: tuple[int, int],
    count: int,
    body: bytes,
) -> bytes:
    name = host.encode()
    head = _HEADER.pack(
        MAGIC, FORMAT, kind, *position, nonce, won, *ends, count, len(name), len(body), crc32(body)
    )
    return b"".join((head, _CRC.pack(crc32(name, crc32(head))), name, body))


def _corrupt(host: str, position: Position, why: str) -> ReplicaCorrupt:
    key = slot_key(host, position)
    return ReplicaCorrupt(f"{key} is damaged: {why}", key=key)
