"""What is in files, and what it takes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.database import Database
from storage.errors import PathInvalid
from storage.files import Files
from storage.files.chunks import CHUNK
from tests.storage.files.fake import rows, stored


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 1_000_000])
def test_what_was_written_is_read_whole_and_in_parts(fs: Files, size: int) -> None:
    data = noise(size)
    assert fs.write("/f", data) == size
    assert fs.stat("/f").size == size
    assert fs.read("/f") == data
    for offset in (0, 1, CHUNK - 1, CHUNK, size // 2, size, size + 5):
        assert fs.read("/f", offset) == data[offset:]
        for length in (0, 1, CHUNK, CHUNK + 2, size):
            assert fs.read("/f", offset, length) == data[offset : offset + length]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_may_be_written_and_text_only_as_text(fs: Files, kind: type) -> None:
    fs.write("/f", kind(b"ab"))
    fs.append("/f", kind(b"cd"))
    fs.write_at("/f", 1, kind(b"X"))
    assert fs.read("/f") == b"aXcd"
    with pytest.raises(TypeError):
        fs.write("/f", "text")  # type: ignore[arg-type]
    assert fs.read("/f") == b"aXcd"
    assert fs.write_text("/t", "grün\r\n") == 7
    assert fs.read_text("/t") == "grün\r\n"
    fs.write_text("/t", "grün", "latin-1")
    assert fs.read("/t") == b"gr\xfcn"
    assert fs.read_text("/t", errors="replace") == "gr\ufffdn"
    with pytest.raises(UnicodeDecodeError):
        fs.read_text("/t")


def test_a_write_replaces_all_and_keeps_the_inode(fs: Files) -> None:
    fs.write("/f", noise(300_000))
    inode = fs.stat("/f").inode
    fs.write("/f", b"short")
    assert (fs.read("/f"), fs.stat("/f").inode) == (b"short", inode)


def test_append_and_write_at_make_the_file_and_say_where_they_ended(fs: Files) -> None:
    assert fs.append("/a", b"ab") == 2
    assert fs.append("/a", b"c") == 3
    assert fs.write_at("/b", 4, b"xy") == 6
    assert fs.write_at("/b", 0, b"z") == 1
    assert (fs.read("/a"), fs.read("/b")) == (b"abc", b"z\0\0\0xy")


def test_a_hole_reads_as_zeros_and_takes_no_room(fs: Files, database: Database) -> None:
    fs.write("/f", b"start")
    fs.truncate("/f", 50_000_000)
    fs.write_at("/f", 40_000_000, b"middle")
    assert fs.stat("/f").size == 50_000_000
    assert fs.read("/f", 39_999_995, 16) == b"\0" * 5 + b"middle" + b"\0" * 5
    assert fs.read("/f", 0, 10) == b"start" + b"\0" * 5
    assert stored(database) == 11


def test_truncate_drops_what_is_behind_for_good(fs: Files, database: Database) -> None:
    data = noise(200_000)
    fs.write("/f", data)
    for size in (150_000, CHUNK, 7):
        fs.truncate("/f", size)
        assert fs.read("/f") == data[:size]
    fs.truncate("/f", 20)
    assert fs.read("/f") == data[:7] + bytes(13)
    fs.truncate("/f")
    assert fs.read("/f") == b""
    assert stored(database) == 0


def test_offsets_and_sizes_below_zero_are_refused(fs: Files) -> None:
    fs.write("/f", b"x")
    for act in (
        lambda: fs.read("/f", -1),
        lambda: fs.read("/f", 0, -1),
        lambda: fs.write_at("/f", -1, b"x"),
        lambda: fs.truncate("/f", -1),
        lambda: fs.stream("/f", -1),
    ):
        with pytest.raises(PathInvalid):
            act()
    assert fs.read("/f") == b"x"


# -- what it takes -----------------------------------------------------------------------


def test_equal_contents_are_stored_once_until_the_last_is_gone(
    fs: Files, database: Database
) -> None:
    data = noise(10 * CHUNK)
    for name in "abc":
        fs.write(name, data)
    fs.copy("/a", "/d")
    fs.write("/zeros", bytes(5 * CHUNK))
    assert stored(database) == 11 * CHUNK
    fs.unlink("/zeros")
    for name in "abc":
        fs.unlink(name)
        assert stored(database) == 10 * CHUNK
    assert fs.read("/d") == data
    fs.remove_tree("/")
    assert stored(database) == 0
    assert rows(database, "select * from _facets_files_extents") == []


def test_writing_what_is_there_already_writes_no_content(fs: Files, database: Database) -> None:
    data = noise(4 * CHUNK)
    fs.write("/f", data)
    before = rows(database, "select id, hash from _facets_files_chunks")
    changed = bytearray(data)
    changed[2 * CHUNK] ^= 1
    fs.write("/f", bytes(changed))
    after = rows(database, "select id, hash from _facets_files_chunks")
    assert len(set(before) - set(after)) == 1
    assert fs.read("/f") == changed


def test_writing_the_same_again_changes_no_row_of_content(fs: Files, database: Database) -> None:
    data = noise(50 * CHUNK)
    fs.write("/f", data)
    ((before,),) = rows(database, "select total_changes()")
    fs.write("/f", data)
    ((after,),) = rows(database, "select total_changes()")
    assert after - before == 1  # the time


def test_a_change_in_the_middle_touches_only_what_it_hits(fs: Files, database: Database) -> None:
    fs.write("/f", noise(10 * CHUNK))
    before = set(rows(database, "select id, hash from _facets_files_chunks"))
    fs.write_at("/f", 4 * CHUNK + 5, b"change")
    after = set(rows(database, "select id, hash from _facets_files_chunks"))
    assert (len(before), len(after), len(before & after)) == (10, 10, 9)


def test_small_appends_leave_few_extents(fs: Files, database: Database) -> None:
    for _ in range(2_000):
        fs.append("/f", b"0123456789" * 10)
    extents = rows(database, "select size from _facets_files_extents order by start")
    sizes = [size for (size,) in extents]
    assert sum(sizes) == 200_000
    assert len(sizes) <= 200_000 // CHUNK + 16
    assert stored(database) <= 200_000


ranges = st.tuples(st.integers(0, 4 * CHUNK), st.integers(0, 2 * CHUNK), st.booleans())


@settings(max_examples=30, deadline=None)
@given(st.lists(ranges, max_size=8))
def test_writes_and_cuts_anywhere_leave_what_a_bytearray_would_have(
    changes: list[tuple[int, int, bool]],
) -> None:
    fs = _FS[0]
    fs.write("/f", b"")
    model = bytearray()
    for seed, (offset, size, cut) in enumerate(changes):
        if cut:
            fs.truncate("/f", offset)
            model[offset:] = bytes(max(0, offset - len(model)))
        elif size:
            data = noise(size, seed)
            model.extend(bytes(max(0, offset - len(model))))
            model[offset : offset + size] = data
            fs.write_at("/f", offset, data)
        assert fs.stat("/f").size == len(model)
    assert fs.read("/f") == bytes(model)


_FS: list[Files] = []


@pytest.fixture(autouse=True)
def _share(fs: Files) -> None:
    """One store for all examples of a test: opening one is what takes time."""
    _FS[:] = [fs]
