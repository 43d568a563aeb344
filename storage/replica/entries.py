"""What the log's bytes mean: the one place where the replica meets the journal's format.

A record of the log is the body of a record of the journal, behind the number of its entries.
"""

from __future__ import annotations

from collections.abc import Iterator

from storage.record import BIND as BIND
from storage.record import CREATE as CREATE
from storage.record import DELETE as DELETE
from storage.record import PAGES as PAGES
from storage.record import ROW, unpack
from storage.record import Entry as Entry
from storage.record import pack as pack

__all__ = ["BIND", "CREATE", "DELETE", "PAGES", "Entry", "entries", "pack"]


def entries(data: bytes) -> Iterator[Entry]:
    """What the bytes of one record of the log say of databases, in order."""
    return (entry for entry in unpack(data) if entry.kind != ROW)
