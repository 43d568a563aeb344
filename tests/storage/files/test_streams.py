"""Streams: several steps, and the file as a whole at the end."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.database import Database
from storage.errors import FileMissing, FilesQuota, FileTooLarge, IsDirectory
from storage.files import Files, referenced
from storage.files.chunks import CHUNK, OBJECT
from storage.limits import FileLimits
from storage.store import Store
from tests.storage.files.conftest import undo
from tests.storage.files.fake import Objects, check, rows, stored


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for i in range(0, len(data), size):
        yield data[i : i + size]


async def broken(data: bytes) -> AsyncIterator[bytes]:
    async for piece in pieces(data, 400_000):
        yield piece
    raise ConnectionError("the source broke")


def detached(database: Database) -> int:
    query = "select count(*) from _facets_files_nodes where parent = 0 and id != 1"
    return int(rows(database, query)[0][0])


@pytest.mark.parametrize("size", [0, 1, OBJECT - 1, OBJECT, OBJECT + 1, 2 * OBJECT + 300_000])
@pytest.mark.parametrize("piece", [70_000, 3 * OBJECT])
@pytest.mark.parametrize("where", ["fs", "spilling"])
async def test_what_streams_in_streams_out(
    request: pytest.FixtureRequest, where: str, size: int, piece: int
) -> None:
    fs: Files = request.getfixturevalue(where)
    data = noise(size)
    assert await fs.write_stream("/f", pieces(data, piece)) == size
    assert fs.read("/f") == data
    out = [one async for one in fs.stream("/f")]
    assert b"".join(out) == data
    assert all(0 < len(one) <= OBJECT for one in out)


async def test_a_part_of_a_file_streams_out_and_holes_as_zeros(spilling: Files) -> None:
    data = noise(OBJECT + 200_000)
    spilling.write("/f", data)
    spilling.truncate("/f", 4 * OBJECT)
    spilling.append("/f", b"end")
    data += bytes(4 * OBJECT - len(data)) + b"end"
    for offset, size in (
        (0, 10),
        (OBJECT - 5, 10),
        (OBJECT, 3 * OBJECT),
        (5, None),
        (9 * OBJECT, 1),
    ):
        out = b"".join([one async for one in spilling.stream("/f", offset, size)])
        assert out == data[offset:][:size]


async def test_a_stream_puts_large_contents_to_the_store_off_the_loop_thread(
    spilling: Files, database: Database, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()

    def put(key: str, data: bytes) -> None:
        threads.add(threading.get_ident())
        objects.kept[key] = data

    monkeypatch.setattr(objects, "put", put)
    await spilling.write_stream("/f", pieces(noise(2 * OBJECT + 5), 100_000))
    assert threads
    assert threading.get_ident() not in threads
    assert stored(database) == 5
    assert referenced(database) == set(objects.kept)


@pytest.mark.parametrize("where", ["fs", "spilling"])
async def test_a_source_that_breaks_leaves_the_old_file(
    request: pytest.FixtureRequest, database: Database, where: str
) -> None:
    fs: Files = request.getfixturevalue(where)
    fs.write("/f", b"old")
    with pytest.raises(ConnectionError):
        await fs.write_stream("/f", broken(noise(2 * OBJECT)))
    assert fs.read("/f") == b"old"
    with pytest.raises(ConnectionError):
        await fs.write_stream("/g", broken(noise(2 * OBJECT)))
    assert fs.listdir() == ["f"]
    assert detached(database) == 0
    assert fs.usage().bytes == 3


async def test_an_object_that_cannot_be_put_breaks_the_stream(
    spilling: Files, database: Database, objects: Objects
) -> None:
    spilling.write("/f", b"old")
    objects.broken = OSError("the store is away")
    with pytest.raises(OSError, match="away"):
        await spilling.write_stream("/f", pieces(noise(3 * OBJECT), OBJECT))
    assert (spilling.read("/f"), detached(database)) == (b"old", 0)


async def test_a_cancelled_stream_leaves_the_old_file_even_if_its_cleanup_is_undone(
    fs: Files, database: Database
) -> None:
    fs.write("/f", b"old")
    waiting = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield noise(2 * OBJECT)
        database.commit()
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(fs.write_stream("/f", stuck()))
    await waiting.wait()
    assert detached(database) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    undo(database, fs)  # what the runtime does with the step in which a call was cancelled
    assert fs.read("/f") == b"old"
    assert detached(database) == 1
    await fs.write_stream("/g", pieces(b"next", 4))
    assert (fs.listdir(), detached(database)) == (["f", "g"], 0)


async def test_a_running_stream_is_not_swept_by_another(fs: Files, database: Database) -> None:
    async def outer() -> AsyncIterator[bytes]:
        yield noise(OBJECT)
        await fs.write_stream("/inner", pieces(b"inner", 5))
        yield b"end"

    await fs.write_stream("/outer", outer())
    assert fs.read("/outer") == noise(OBJECT) + b"end"
    assert fs.read("/inner") == b"inner"
    assert detached(database) == 0


async def test_what_a_dead_process_left_goes_when_room_is_short(state: Path) -> None:
    limits = FileLimits(total=2 * OBJECT)
    store = Store.open(state)
    database = store.root("Kind", "name")
    Files(database).mkdir("/d")
    database.run_own(
        "insert into _facets_files_nodes values (9, 0, '9', 'file', 0, 0, 2097152, '')"
    )
    database.commit()
    store.close()
    store = Store.open(state)
    database = store.root("Kind", "name")
    fs = Files(database, limits=limits)
    assert detached(database) == 1
    fs.write("/g", b"x")
    assert detached(database) == 0
    check(database)
    store.close()


async def test_a_stream_is_held_to_the_limits_as_it_comes(
    database: Database, objects: Objects
) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield noise(OBJECT, taken)

    for store in (None, objects):
        fs = Files(database, store, FileLimits(total=5 * OBJECT, file=3 * OBJECT))
        taken = 0
        with pytest.raises(FileTooLarge):
            await fs.write_stream("/f", endless())
        assert taken == 4
        fs.write("/g", noise(3 * OBJECT, 99))
        with pytest.raises(FilesQuota):
            await fs.write_stream("/f", endless())
        assert fs.listdir() == ["g"]
        fs.unlink("/g")
        check(database, objects)


async def test_a_stream_replaces_the_file_with_its_mode_and_under_a_new_inode(fs: Files) -> None:
    fs.write("/f", b"old")
    fs.chmod("/f", 0o600)
    fs.symlink("f", "/l")
    before = fs.stat("/f")
    with fs.open("/f", "rb", buffering=0) as reader:
        await fs.write_stream("/l", pieces(b"new", 1))
        with pytest.raises(FileMissing):
            reader.read(1)
    assert (fs.read("/f"), fs.stat("/f").mode, fs.is_link("/l")) == (b"new", 0o600, True)
    assert fs.stat("/f").inode != before.inode


async def test_a_place_that_cannot_take_a_file_is_refused_before_anything_is_read(
    fs: Files,
) -> None:
    async def untouched() -> AsyncIterator[bytes]:
        raise AssertionError
        yield b""

    fs.mkdir("/d")
    with pytest.raises(IsDirectory):
        await fs.write_stream("/d", untouched())
    with pytest.raises(FileMissing):
        await fs.write_stream("/no/f", untouched())


async def test_a_place_that_is_lost_meanwhile_is_an_error_at_the_end(
    fs: Files, database: Database
) -> None:
    fs.mkdir("/d")

    async def removing() -> AsyncIterator[bytes]:
        yield b"x"
        fs.rmdir("/d")

    with pytest.raises(FileMissing):
        await fs.write_stream("/d/f", removing())
    assert detached(database) == 0


@pytest.mark.parametrize("where", ["fs", "spilling"])
async def test_a_stream_whose_first_steps_were_undone_is_an_error_and_leaves_nothing(
    request: pytest.FixtureRequest, database: Database, where: str
) -> None:
    fs: Files = request.getfixturevalue(where)
    fs.mkdir("/d")
    database.commit()

    async def undoing() -> AsyncIterator[bytes]:
        yield noise(OBJECT)
        undo(database, fs)
        yield noise(OBJECT)

    with pytest.raises(FileMissing):
        await fs.write_stream("/f", undoing())
    assert (fs.listdir(), fs.usage().bytes) == (["d"], 0)
    assert rows(database, "select * from _facets_files_extents") == []


async def test_a_file_that_is_removed_while_it_streams_out_is_an_error(fs: Files) -> None:
    fs.write("/f", noise(200_000))
    stream = fs.stream("/f")
    assert await anext(stream) == fs.read("/f", 0, CHUNK)
    fs.unlink("/f")
    with pytest.raises(FileMissing):
        await anext(stream)
