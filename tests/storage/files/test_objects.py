"""Large contents go to the object store, before the rows that name them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from storage.database import Database
from storage.errors import FileDamaged
from storage.files import Files, referenced
from storage.files.chunks import CHUNK, OBJECT
from storage.limits import FileLimits
from storage.store import Store
from tests.storage.files.conftest import undo
from tests.storage.files.fake import Objects, check, stored

INLINE = 100_000


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def test_small_files_stay_in_the_database(spilling: Files, objects: Objects) -> None:
    spilling.write("/f", noise(INLINE))
    spilling.append("/g", b"x")
    assert objects.kept == {}


@pytest.mark.parametrize(
    "size", [INLINE + 1, OBJECT - 1, OBJECT, OBJECT + 1, 2 * OBJECT + INLINE, 3 * OBJECT - 1]
)
def test_at_most_the_inline_limit_of_a_file_is_in_the_database(
    spilling: Files, database: Database, objects: Objects, size: int
) -> None:
    data = noise(size)
    spilling.write("/f", data)
    assert stored(database) <= INLINE
    assert sum(map(len, objects.kept.values())) + stored(database) == size
    assert all(len(one) <= OBJECT for one in objects.kept.values())
    assert spilling.read("/f") == data
    assert spilling.read("/f", size - 10) == data[-10:]
    assert referenced(database) == set(objects.kept)


def test_without_a_store_everything_is_in_the_database(fs: Files, database: Database) -> None:
    fs.write("/f", noise(3 * OBJECT))
    assert stored(database) == 3 * OBJECT
    assert referenced(database) == set()


def test_a_file_that_grows_by_appends_moves_to_the_store(
    spilling: Files, database: Database, objects: Objects
) -> None:
    data = noise(500_000)
    for i in range(0, len(data), 5_000):
        spilling.append("/f", data[i : i + 5_000])
        assert stored(database) <= INLINE
    assert spilling.read("/f") == data
    assert len(objects.puts) <= len(data) // CHUNK
    check(database, objects)


def test_changes_anywhere_in_a_large_file_are_read_back(
    spilling: Files, database: Database, objects: Objects
) -> None:
    data = bytearray(noise(2 * OBJECT + 70_000))
    spilling.write("/f", bytes(data))
    for seed, (offset, size) in enumerate(
        [(5, 10), (OBJECT - 5, 10), (2 * OBJECT - 100, 70_000), (OBJECT, OBJECT), (3, 2 * OBJECT)]
    ):
        piece = noise(size, seed + 1)
        data[offset : offset + size] = piece
        spilling.write_at("/f", offset, piece)
        assert spilling.read("/f") == data
        check(database, objects)
    for size in (OBJECT + 30_000, OBJECT - 1, INLINE, 3):
        spilling.truncate("/f", size)
        assert spilling.read("/f") == data[:size]
        check(database, objects)
    assert stored(database) <= INLINE


def test_the_object_is_there_before_a_row_that_names_it(
    spilling: Files, database: Database, objects: Objects
) -> None:
    spilling.write("/f", b"old")
    objects.broken = OSError("the store is away")
    with pytest.raises(OSError, match="away"):
        spilling.write("/f", noise(OBJECT))
    assert spilling.read("/f") == b"old"
    assert referenced(database) == set()
    check(database, objects)


def test_equal_contents_are_put_once_and_never_deleted(
    spilling: Files, database: Database, objects: Objects
) -> None:
    data = noise(2 * OBJECT)
    spilling.write("/f", data)
    spilling.write("/g", data)
    spilling.copy("/f", "/h")
    assert len(objects.puts) == 2
    database.commit()
    spilling.remove_tree("/")
    assert referenced(database) == set()
    assert len(objects.kept) == 2
    undo(database, spilling)
    assert spilling.read("/h") == data
    assert referenced(database) == set(objects.kept)


def test_small_reads_in_a_row_fetch_an_object_once(spilling: Files, objects: Objects) -> None:
    data = noise(OBJECT)
    spilling.write("/f", data)
    with spilling.open("/f", "rb", buffering=0) as file:
        assert b"".join(iter(lambda: file.read(50_000), b"")) == data
    assert len(objects.gets) == 1


def test_an_object_with_other_bytes_is_damage(spilling: Files, objects: Objects) -> None:
    spilling.write("/f", noise(OBJECT))
    (key,) = objects.kept
    whole, objects.kept[key] = objects.kept[key], b"other bytes"
    with pytest.raises(FileDamaged) as caught:
        spilling.read("/f")
    assert caught.value.fields["key"] == key
    objects.kept[key] = whole
    assert spilling.read("/f") == whole


def test_without_their_store_large_files_say_what_is_missing(
    spilling: Files, database: Database
) -> None:
    spilling.write("/f", noise(OBJECT))
    spilling.write("/small", b"x")
    bare = Files(database)
    assert bare.read("/small") == b"x"
    assert bare.stat("/f").size == OBJECT
    with pytest.raises(FileDamaged, match="object store"):
        bare.read("/f")
    bare.unlink("/f")


def test_objects_are_found_again_after_the_store_was_opened_again(state: Path) -> None:
    objects, data = Objects(), noise(OBJECT + 10)
    store = Store.open(state)
    Files(store.root("Kind", "name"), objects, FileLimits(inline=INLINE)).write("/f", data)
    store.root("Kind", "name").commit()
    store.close()
    store = Store.open(state)
    database = store.root("Kind", "name")
    assert Files(database, objects).read("/f") == data
    assert referenced(database) == set(objects.kept)
    store.close()


def test_an_actor_without_files_references_nothing(database: Database) -> None:
    assert referenced(database) == set()
    assert not database.has_file
