"""What the log's bytes mean: the one place where the replica meets the journal's format.

A record of the log is the body of a record of the journal, behind the number of its entries, the
epoch in which it was made, and the time: entries u32 | epoch u32 | microseconds since 1970 u64.
"""

from __future__ import annotations

from collections.abc import Iterator

from storage.errors import ReplicaCorrupt, StateFormat
from storage.record import BIND as BIND
from storage.record import CREATE as CREATE
from storage.record import DELETE as DELETE
from storage.record import NEVER as NEVER
from storage.record import OF_FILES, unpack
from storage.record import PAGES as PAGES
from storage.record import Entry as Entry
from storage.record import Stamp as Stamp
from storage.record import pack as pack
from storage.record import stamp_of as stamp_of

__all__ = [
    "BIND", "CREATE", "DELETE", "NEVER", "PAGES", "Entry", "Stamp", "entries", "pack", "stamp_of",
]  # fmt: skip


def entries(data: bytes) -> Iterator[Entry]:
    """What the bytes of one record of the log say of databases, in order.

    `ReplicaCorrupt` if this version does not understand them.
    """
    try:
        yield from (entry for entry in unpack(data) if entry.kind in OF_FILES)
    except StateFormat as error:
        raise ReplicaCorrupt(
            f"the log has an entry that is unknown here: {error}", key=""
        ) from error
