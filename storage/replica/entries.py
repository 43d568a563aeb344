"""What the log's bytes mean: the one place where the replica meets the journal's format.

A record of the log is the body of a record of the journal, behind the number of its entries.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from storage.record import CREATE, DELETE, PAGES, Entry, decode_body

_COUNT = struct.Struct("<I")
BIND = 4
"""The file is a new generation from here on; its content is a snapshot uploaded before."""

__all__ = ["BIND", "CREATE", "DELETE", "PAGES", "Entry", "entries", "pack"]


def pack(body: bytes, count: int) -> bytes:
    """Bytes for the log from a record's body and the number of its entries."""
    return _COUNT.pack(count) + body


def entries(data: bytes) -> Iterator[Entry]:
    """The entries in the bytes of one record of the log, in order."""
    (count,) = _COUNT.unpack_from(data)
    return decode_body(data[_COUNT.size :], count)
