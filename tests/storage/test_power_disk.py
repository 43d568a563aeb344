"""The disk that loses its power keeps what was synced, and forgets the rest in every way."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.testing import Effect, Fault, FaultyDisk, Killed, Outcome, PowerLossDisk

NEW = os.O_RDWR | os.O_CREAT
OLD, YOUNG = b"o" * 4096, b"y" * 4096
Image = dict[str, bytes]
Crash = Callable[[PowerLossDisk], list[Image]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    (path / "old").write_bytes(OLD)
    return path


@pytest.fixture
def crash(tmp_path: Path) -> Crash:
    """Sixty images of one moment."""
    number = count()

    def crash(disk: PowerLossDisk) -> list[Image]:
        images = []
        for seed in range(60):
            target = tmp_path / f"image{next(number)}"
            disk.crash(random.Random(seed), target)
            images.append(look(target))
        return images

    return crash


def look(root: Path) -> Image:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def write(disk: PowerLossDisk, path: Path, data: bytes, at: int = 0, flags: int = 0) -> None:
    fd = disk.open(path, NEW | flags)
    disk.write(fd, data, at)
    disk.close(fd)


def sync(disk: PowerLossDisk, path: Path) -> None:
    fd = disk.open(path, os.O_RDWR)
    disk.sync(fd)
    disk.close(fd)


# -- content --------------------------------------------------------------------------------


def test_what_was_there_in_the_beginning_survives(root: Path, crash: Crash) -> None:
    assert all(image == {"old": OLD} for image in crash(PowerLossDisk(root)))


def test_synced_content_survives(root: Path, crash: Crash) -> None:
    disk = PowerLossDisk(root)
    write(disk, root / "old", YOUNG)
    sync(disk, root / "old")
    assert all(image == {"old": YOUNG} for image in crash(disk))


def test_content_without_a_sync_is_old_or_new_by_sector(root: Path, crash: Crash) -> None:
    disk = PowerLossDisk(root)
    write(disk, root / "old", YOUNG)
    found = {image["old"] for image in crash(disk)}
    assert {OLD, YOUNG} < found
    for content in found:
        sectors = {content[at : at + 512] for at in range(0, 4096, 512)}
        assert sectors <= {OLD[:512], YOUNG[:512]}


@pytest.mark.parametrize("flag", [os.O_DSYNC, os.O_SYNC, os.O_DSYNC | os.O_DIRECT])
def test_a_synchronous_write_survives_and_takes_nothing_else_with_it(
    root: Path, crash: Crash, flag: int
) -> None:
    disk = PowerLossDisk(root)
    write(disk, root / "old", b"y" * 1024, 1024)
    write(disk, root / "old", b"d" * 512, 2048, flag)
    found = {image["old"] for image in crash(disk)}
    assert all(content[2048:2560] == b"d" * 512 for content in found)
    assert len({content[1024:2048] for content in found}) > 1


def test_a_growing_file_has_its_old_length_or_its_new_one_with_holes(
    root: Path, crash: Crash
) -> None:
    disk = PowerLossDisk(root)
    write(disk, root / "old", YOUNG, 4096)
    found = {image["old"] for image in crash(disk)}
    assert {OLD, OLD + YOUNG, OLD + bytes(4096)} <= found
    assert {len(content) for content in found} == {4096, 8192}


def test_a_shrunk_file_has_either_length_until_it_is_synced(root: Path, crash: Crash) -> None:
    disk = PowerLossDisk(root)
    fd = disk.open(root / "old", os.O_RDWR | os.O_DSYNC)
    disk.truncate(fd, 512)
    assert {len(image["old"]) for image in crash(disk)} == {512, 4096}
    disk.sync(fd)
    disk.close(fd)
    assert {len(image["old"]) for image in crash(disk)} == {512}


def test_a_sync_that_is_forgotten_makes_nothing_durable(root: Path, crash: Crash) -> None:
    below = PowerLossDisk(root)
    lie = Fault("sync", outcome=Outcome.RETURN)
    disk = FaultyDisk(lie, below=below)
    fd = disk.open(root / "old", os.O_RDWR)
    disk.write(fd, YOUNG, 0)
    disk.sync(fd)
    disk.close(fd)
    assert OLD in {image["old"] for image in crash(below)}


def test_a_process_that_dies_at_a_sync_made_nothing_durable(root: Path, crash: Crash) -> None:
    below = PowerLossDisk(root)
    disk = FaultyDisk(Fault("sync", outcome=Outcome.KILL), below=below)
    fd = disk.open(root / "old", os.O_RDWR)
    disk.write(fd, YOUNG, 0)
    with pytest.raises(Killed):
        disk.sync(fd)
    disk.close_all()
    assert {OLD, YOUNG} <= {image["old"] for image in crash(below)}


def test_a_synchronous_write_that_was_cut_is_not_durable(root: Path, crash: Crash) -> None:
    below = PowerLossDisk(root)
    disk = FaultyDisk(Fault("write", effect=Effect.CACHED, outcome=Outcome.KILL), below=below)
    fd = disk.open(root / "old", os.O_RDWR | os.O_DSYNC)
    with disk.until_death():
        disk.write(fd, YOUNG, 0)
    disk.close_all()
    assert (root / "old").read_bytes() == YOUNG
    assert {OLD, YOUNG} < {image["old"] for image in crash(below)}


def test_the_kernel_may_write_content_back_that_is_overwritten_later(
    root: Path, crash: Crash
) -> None:
    disk = PowerLossDisk(root)
    write(disk, root / "old", b"m" * 4096)
    rng = random.Random(5)
    for _ in range(10):
        disk.write_back(rng)
    write(disk, root / "old", YOUNG)
    found = {image["old"] for image in crash(disk)}
    assert {b"m" * 4096, YOUNG} <= found
    assert OLD not in found


# -- names ----------------------------------------------------------------------------------


def test_a_new_name_is_there_or_missing_until_its_directory_is_synced(
    root: Path, crash: Crash
) -> None:
    disk = PowerLossDisk(root)
    write(disk, root / "new", YOUNG)
    sync(disk, root / "new")
    assert {image.get("new") for image in crash(disk)} == {None, YOUNG}
    disk.sync_directory(root)
    assert {image.get("new") for image in crash(disk)} == {YOUNG}


def test_a_durable_name_of_content_that_is_not_is_empty_or_full_of_holes(
    root: Path, crash: Crash
) -> None:
    disk = PowerLossDisk(root)
    write(disk, root / "new", YOUNG)
    disk.sync_directory(root)
    assert {b"", bytes(4096), YOUNG} <= {image["new"] for image in crash(disk)}


def test_a_rename_happened_or_did_not(root: Path, crash: Crash) -> None:
    disk = PowerLossDisk(root)
    write(disk, root / "new", YOUNG, flags=os.O_DSYNC)
    disk.sync_directory(root)
    disk.rename(root / "new", root / "old")
    either = [{"old": OLD, "new": YOUNG}, {"old": YOUNG}]
    images = crash(disk)
    assert all(image in either for image in images)
    assert all(one in images for one in either)
    disk.sync_directory(root)
    assert all(image == {"old": YOUNG} for image in crash(disk))


def test_a_rename_into_another_directory_is_durable_with_the_target(
    root: Path, crash: Crash
) -> None:
    (root / "there").mkdir()
    disk = PowerLossDisk(root)
    disk.rename(root / "old", root / "there" / "old")
    disk.sync_directory(root)
    assert {frozenset(image) for image in crash(disk)} == {
        frozenset({"old"}),
        frozenset({"there/old"}),
    }
    write(disk, root / "old", YOUNG, flags=os.O_DSYNC)
    disk.sync_directory(root)
    disk.sync_directory(root / "there")
    assert all(image == {"there/old": OLD, "old": YOUNG} for image in crash(disk))


def test_a_link_is_a_second_name_of_one_file(root: Path, crash: Crash) -> None:
    disk = PowerLossDisk(root)
    disk.link(root / "old", root / "also")
    write(disk, root / "old", YOUNG, flags=os.O_DSYNC)
    assert {image.get("also") for image in crash(disk)} == {None, YOUNG}
    disk.unlink(root / "old")
    disk.sync_directory(root)
    assert all(image == {"also": YOUNG} for image in crash(disk))


def test_a_removed_name_may_be_back_until_its_directory_is_synced(root: Path, crash: Crash) -> None:
    disk = PowerLossDisk(root)
    write(disk, root / "old", YOUNG)
    disk.unlink(root / "old")
    assert {None, OLD, YOUNG} <= {image.get("old") for image in crash(disk)}
    disk.sync_directory(root)
    assert all(image == {} for image in crash(disk))


def test_changes_of_names_are_lost_in_any_order(root: Path, crash: Crash) -> None:
    disk = PowerLossDisk(root)
    for name in "ab":
        write(disk, root / name, YOUNG)
    found = {frozenset(image) - {"old"} for image in crash(disk)}
    assert found == {frozenset(names) for names in ("", "a", "b", "ab")}


# -- files made by others -------------------------------------------------------------------


def test_a_file_written_by_sqlite_may_be_missing_empty_or_whole(root: Path, crash: Crash) -> None:
    disk = PowerLossDisk(root)
    (root / "one.db-wal").write_bytes(YOUNG)
    assert {None, b"", YOUNG} <= {image.get("one.db-wal") for image in crash(disk)}


def test_a_file_written_by_sqlite_is_durable_once_storage_syncs_it(
    root: Path, crash: Crash
) -> None:
    disk = PowerLossDisk(root)
    (root / "old").write_bytes(YOUNG)
    assert OLD in {image["old"] for image in crash(disk)}
    sync(disk, root / "old")
    assert {image["old"] for image in crash(disk)} == {YOUNG}


def test_a_wal_that_storage_removed_may_be_back(root: Path, crash: Crash) -> None:
    disk = PowerLossDisk(root)
    (root / "one.db-wal").write_bytes(YOUNG)
    disk.unlink(root / "one.db-wal")
    assert {None, YOUNG} <= {image.get("one.db-wal") for image in crash(disk)}


def test_a_file_that_others_removed_may_be_back(root: Path, crash: Crash) -> None:
    disk = PowerLossDisk(root)
    (root / "old").unlink()
    assert {None, OLD} == {image.get("old") for image in crash(disk)}


def test_a_new_directory_may_be_missing_with_all_that_is_in_it(root: Path, crash: Crash) -> None:
    disk = PowerLossDisk(root)
    (root / "db").mkdir()
    write(disk, root / "db" / "one", YOUNG, flags=os.O_DSYNC)
    disk.sync_directory(root / "db")
    assert {image.get("db/one") for image in crash(disk)} == {None, YOUNG}
    disk.sync_directory(root)
    assert {image.get("db/one") for image in crash(disk)} == {YOUNG}


# -- all of it ------------------------------------------------------------------------------


def test_a_crash_changes_nothing_and_the_same_draw_gives_the_same_image(
    root: Path, tmp_path: Path
) -> None:
    disk = PowerLossDisk(root)
    write(disk, root / "old", YOUNG)
    write(disk, root / "new", YOUNG)
    for name in ("a", "b"):
        disk.crash(random.Random(11), tmp_path / name)
    assert look(tmp_path / "a") == look(tmp_path / "b")
    assert look(root) == {"old": YOUNG, "new": YOUNG}


_NAMES = st.sampled_from(["a", "b", "d/a", "d/b"])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), _NAMES, st.integers(0, 3)),
        st.tuples(st.just("sync"), _NAMES, st.none()),
        st.tuples(st.just("unlink"), _NAMES, st.none()),
        st.tuples(st.just("rename"), _NAMES, _NAMES),
        st.tuples(st.just("directory"), st.sampled_from([".", "d"]), st.none()),
        st.tuples(st.just("back"), st.just(""), st.integers()),
    ),
    max_size=30,
)


def do(disk: PowerLossDisk, root: Path, kind: str, name: str, more: object) -> None:
    path = root / name
    if kind == "write" and isinstance(more, int):
        write(disk, path, bytes([65 + more]) * 512, 512 * more)
    elif kind == "directory":
        disk.sync_directory(path)
    elif kind == "back" and isinstance(more, int):
        disk.write_back(random.Random(more))
    elif path.exists() and kind == "sync":
        sync(disk, path)
    elif kind == "unlink":
        disk.unlink(path)
    elif path.exists() and kind == "rename" and isinstance(more, str) and more != name:
        disk.rename(path, root / more)


@settings(max_examples=60, deadline=None)
@given(steps=_STEPS, seed=st.integers())
def test_after_everything_is_synced_every_image_is_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, object]], seed: int
) -> None:
    base = tmp_path_factory.mktemp("all")
    root = base / "root"
    (root / "d").mkdir(parents=True)
    disk = PowerLossDisk(root)
    for step in steps:
        do(disk, root, *step)
    disk.crash(random.Random(seed), base / "before")
    for name, content in look(base / "before").items():
        sectors = {content[at : at + 512] for at in range(0, len(content), 512)}
        assert sectors <= {bytes([c]) * 512 for c in b"\0ABCD"}, name
    for path in [path for path in root.rglob("*") if path.is_file()]:
        sync(disk, path)
    for path in (root, root / "d"):
        disk.sync_directory(path)
    disk.crash(random.Random(seed), base / "after")
    assert look(base / "after") == look(root)
