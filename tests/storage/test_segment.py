"""Segments: what a file of the journal holds, and what its damage means."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from zlib import crc32

import pytest

from storage.disk import Disk
from storage.errors import JournalCorrupt, StateFormat
from storage.record import CREATE, HEADER, SECTOR, Entry, encode
from storage.segment import START, STEP, Header, Segment, read_header, read_records

from .kit import BadDisk, flip

BODY = Entry(CREATE, 1).encode()
LONG = Entry(CREATE, 1).encode() + bytes(3 * SECTOR)


def filled(path: Path, bodies: list[bytes], *, durable: int = 0) -> tuple[Header, list[int]]:
    """A segment with a record for each body; where each begins, and where the last ends."""
    segment = Segment(Disk(), path)
    header = Header.new(epoch=3, first=10, previous=77)
    segment.reserve(START + 100 * SECTOR)
    segment.begin(header)
    chain, at, places = header.chain, START, []
    for n, body in enumerate(bodies):
        data, crc = encode(chain, 10 + n, durable, body, 1, 0, 3)
        chain = type(chain)(chain.epoch, chain.nonce, crc)
        segment.write(data, at)
        places.append(at)
        at += len(data)
    segment.close()
    return header, [*places, at]


def sequences(path: Path) -> list[int]:
    data = path.read_bytes()
    header = read_header(data, path)
    assert header is not None
    return [one.sequence for one in read_records(data, path, header)]


def test_records_come_back_in_order(tmp_path: Path) -> None:
    filled(tmp_path / "a.seg", [BODY, LONG, BODY])

    assert sequences(tmp_path / "a.seg") == [10, 11, 12]


def test_the_header_comes_back(tmp_path: Path) -> None:
    header, _ = filled(tmp_path / "a.seg", [])

    assert read_header((tmp_path / "a.seg").read_bytes(), tmp_path) == header


def test_a_new_life_hides_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "a.seg"
    filled(path, [BODY] * 5)
    filled(path, [BODY])

    assert sequences(path) == [10]


def test_a_voided_segment_is_not_in_use(tmp_path: Path) -> None:
    path = tmp_path / "a.seg"
    filled(path, [BODY] * 2)
    segment = Segment(Disk(), path)
    segment.void()
    segment.close()

    assert read_header(path.read_bytes(), path) is None


@pytest.mark.parametrize("size", [0, 1, 511, 4096, 8192])
def test_a_file_of_zeros_is_not_in_use(tmp_path: Path, size: int) -> None:
    assert read_header(bytes(size), tmp_path) is None


@pytest.mark.parametrize("at", range(0, 40, 3))
def test_a_damaged_header_is_damage_and_no_end(tmp_path: Path, at: int) -> None:
    path = tmp_path / "a.seg"
    filled(path, [BODY])
    flip(path, at)

    with pytest.raises(JournalCorrupt, match="damaged header"):
        read_header(path.read_bytes(), path)


@pytest.mark.parametrize("size", [1, 20, 39])
def test_a_cut_header_is_damage(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.seg"
    filled(path, [BODY])

    with pytest.raises(JournalCorrupt):
        read_header(path.read_bytes()[:size], path)


def test_another_format_is_refused_by_name(tmp_path: Path) -> None:
    head = struct.pack("<4sIQQQI", b"FJRN", 99, 1, 1, 1, 1)
    data = (head + struct.pack("<I", crc32(head))).ljust(START, b"\0")

    with pytest.raises(StateFormat, match="99"):
        read_header(data, tmp_path)


@pytest.mark.parametrize("sector", range(4))
def test_a_last_record_with_any_sector_lost_is_the_torn_tail(tmp_path: Path, sector: int) -> None:
    path = tmp_path / "a.seg"
    _, places = filled(path, [BODY, LONG])
    data = bytearray(path.read_bytes())
    at = places[1] + sector * SECTOR
    assert at < places[2]
    data[at : at + SECTOR] = os.urandom(SECTOR)
    path.write_bytes(data)

    assert sequences(path) == [10]


def test_records_behind_a_bad_one_are_void_where_none_says_it_was_durable(tmp_path: Path) -> None:
    path = tmp_path / "a.seg"
    _, places = filled(path, [BODY] * 4, durable=10)
    flip(path, places[1] + HEADER)

    assert sequences(path) == [10]


@pytest.mark.parametrize("place", [0, 20, HEADER, HEADER + 5])
def test_a_bad_record_that_a_later_one_calls_durable_is_damage(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a.seg"
    _, places = filled(path, [BODY] * 4, durable=11)
    flip(path, places[1] + place)

    with pytest.raises(JournalCorrupt, match="record 11") as caught:
        sequences(path)

    assert caught.value.fields["sequence"] == 11


def test_an_intact_record_out_of_its_place_ends_the_segment(tmp_path: Path) -> None:
    path = tmp_path / "a.seg"
    _, places = filled(path, [BODY] * 3)
    data = bytearray(path.read_bytes())
    data[places[1] : places[2]] = data[places[2] : places[3]]
    path.write_bytes(data)

    assert sequences(path) == [10]


def test_reserved_space_is_zeros_on_the_disk(tmp_path: Path) -> None:
    segment = Segment(Disk(), tmp_path / "a.seg")
    segment.reserve(START + 1)
    segment.reserve(STEP + 1)
    segment.close()

    assert (tmp_path / "a.seg").read_bytes() == bytes(2 * STEP)


@pytest.mark.parametrize("step", ["write", "sync"])
def test_a_refused_reservation_leaves_the_file_as_it_was(tmp_path: Path, step: str) -> None:
    disk = BadDisk()
    segment = Segment(disk, tmp_path / "a.seg")
    segment.reserve(STEP)
    disk.fails = lambda name, _path: name == step
    with pytest.raises(OSError, match="No space"):
        segment.reserve(STEP + 1)

    assert (tmp_path / "a.seg").stat().st_size == segment.allocated == STEP
    disk.fails = lambda _name, _path: False
    segment.reserve(STEP + 1)
    segment.close()


def test_a_long_write_arrives_whole(tmp_path: Path) -> None:
    segment = Segment(Disk(), tmp_path / "a.seg")
    data = os.urandom(1 << 20)
    segment.reserve(START + len(data))
    segment.write(data, START)
    segment.close()

    assert (tmp_path / "a.seg").read_bytes()[START : START + len(data)] == data
