"""An object store in memory, and a look behind the file system at its tables."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from storage.database import Database
from storage.files.chunks import OBJECT


class Objects:
    """A dict with the methods of an ObjectStore; `broken` is raised by the next put."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.gets: list[str] = []
        self.puts: list[str] = []
        self.broken: Exception | None = None

    def get(self, key: str) -> bytes:
        self.gets.append(key)
        return self.kept[key]

    def put(self, key: str, data: bytes) -> None:
        if self.broken is not None:
            raise self.broken
        self.puts.append(key)
        self.kept[key] = data

    def create(self, key: str, data: bytes) -> bool:
        return self.kept.setdefault(key, data) == data

    def list(self, prefix: str, after: str = "") -> list[str]:
        return sorted(key for key in self.kept if key.startswith(prefix) and key > after)

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    return database.run_own(query)


def stored(database: Database) -> int:
    """Bytes of content in the database."""
    return int(
        rows(database, "select coalesce(sum(length(data)), 0) from _facets_files_data")[0][0]
    )


def check(database: Database, objects: Objects | None = None) -> None:
    """Every count and reference of the tables is what it counts."""
    assert rows(database, "pragma integrity_check") == [("ok",)]
    nodes = {row[0]: row for row in rows(database, "select * from _facets_files_nodes")}
    extents = rows(database, "select * from _facets_files_extents order by node, start")
    chunks = rows(database, "select id, hash, object, refs from _facets_files_chunks")
    data = dict(rows(database, "select id, data from _facets_files_data"))
    totals = rows(database, "select bytes, entries from _facets_files_totals")
    assert totals == [(sum(node[6] for node in nodes.values()), len(nodes))]
    assert {node[1] for node in nodes.values()} <= {0, *nodes}
    assert {chunk[0] for chunk in chunks if not chunk[2]} == set(data)
    for chunk, digest, is_object, refs in chunks:
        users = [one for one in extents if one[3] == chunk]
        assert refs == len(users) > 0
        assert {one[4] for one in users} == {is_object}
        key = f"files/{digest.hex()[:2]}/{digest.hex()}"
        content = objects.kept[key] if is_object and objects else data[chunk]
        assert blake2b(content, digest_size=32).digest() == digest
        assert {one[2] for one in users} == {len(content)}
    behind: dict[int, int] = {}
    for node, start, size, _, _ in extents:
        assert behind.get(node, 0) <= start
        assert 0 < size <= OBJECT
        behind[node] = start + size
        assert behind[node] <= nodes[node][6]
