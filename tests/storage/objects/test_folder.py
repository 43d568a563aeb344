"""What a folder store promises beyond what every store does: durability, and whole objects."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from storage.disk import Buffer, Disk
from storage.errors import ObjectMissing, ObjectStoreFailed
from storage.objects import FolderStore

KEY = "a/b/key"


class Watch(Disk):
    """A disk that notes what it was asked, and fails from one call on as if the power went."""

    def __init__(self, fail_at: int = 1 << 30) -> None:
        self.did: list[tuple[str, str]] = []
        self.fail_at = fail_at

    def _note(self, what: str, path: Path | str) -> None:
        if len(self.did) + 1 >= self.fail_at:
            raise OSError(errno.EIO, "the power went")
        self.did.append((what, str(path)))

    def write(self, fd: int, data: Buffer, at: int) -> None:
        half = len(data) // 2
        super().write(fd, memoryview(data)[:half], at)
        self._note("write", Path(f"/proc/self/fd/{fd}").readlink())
        super().write(fd, memoryview(data)[half:], at + half)

    def sync(self, fd: int) -> None:
        self._note("sync", Path(f"/proc/self/fd/{fd}").readlink())
        super().sync(fd)

    def sync_directory(self, path: Path) -> None:
        self._note("sync", path)
        super().sync_directory(path)

    def link(self, source: Path, target: Path) -> None:
        self._note("link", source)
        super().link(source, target)

    def rename(self, source: Path, target: Path) -> None:
        self._note("rename", source)
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._note("unlink", path)
        super().unlink(path)


@pytest.mark.parametrize(("method", "naming"), [("create", "link"), ("put", "rename")])
def test_content_is_on_disk_before_its_name_and_the_name_before_the_answer(
    tmp_path: Path, method: str, naming: str
) -> None:
    disk = Watch()
    store = FolderStore(tmp_path, disk)
    getattr(store, method)(KEY, b"content")
    steps = [what for what, _ in disk.did]
    scratch = disk.did[steps.index("write")][1]
    named = disk.did.index((naming, scratch))
    assert disk.did.index(("sync", scratch)) < named
    assert ("sync", str(tmp_path / "a" / "b")) in disk.did[named:]


def test_the_folders_of_a_key_are_on_disk_before_its_name(tmp_path: Path) -> None:
    disk = Watch()
    FolderStore(tmp_path / "new", disk).create(KEY, b"")
    before = disk.did[: [what for what, _ in disk.did].index("link")]
    for folder in (tmp_path, tmp_path / "new", tmp_path / "new" / "a"):
        assert ("sync", str(folder)) in before


def test_folders_that_another_process_made_are_synced_too(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    disk = Watch()
    FolderStore(tmp_path, disk).create(KEY, b"")
    assert ("sync", str(tmp_path / "a")) in disk.did


@pytest.mark.parametrize("mine", [b"content", b"other content"])
def test_who_meets_an_object_makes_its_name_durable_before_relying_on_it(
    tmp_path: Path, mine: bytes
) -> None:
    FolderStore(tmp_path).create(KEY, b"content")
    disk = Watch()
    assert FolderStore(tmp_path, disk).create(KEY, mine) is (mine == b"content")
    assert ("sync", str(tmp_path / "a" / "b")) in disk.did


@pytest.mark.parametrize("method", ["create", "put"])
def test_a_crash_at_any_point_leaves_an_object_or_none_and_never_half(
    tmp_path: Path, method: str
) -> None:
    crashes = 0
    for point in range(1, 100):
        folder = tmp_path / str(point)
        try:
            getattr(FolderStore(folder, Watch(point)), method)(KEY, b"content")
        except ObjectStoreFailed:
            crashes += 1
        after = FolderStore(folder)
        assert after.list("") in ([], [KEY])
        if after.list(""):
            assert after.get(KEY) == b"content"
        assert after.create(KEY, b"content")
        if crashes < point:
            break
    assert 5 < crashes < 20


def test_a_crash_while_replacing_leaves_the_old_object_or_the_new(tmp_path: Path) -> None:
    seen = set()
    for point in range(1, 20):
        folder = tmp_path / str(point)
        FolderStore(folder).put(KEY, b"old")
        try:
            FolderStore(folder, Watch(point)).put(KEY, b"new")
        except ObjectStoreFailed:
            seen.add(FolderStore(folder).get(KEY))
    assert seen == {b"old", b"new"}


def test_a_failed_disk_is_an_error_that_names_store_key_and_cause(tmp_path: Path) -> None:
    store = FolderStore(tmp_path, Watch(1))
    with pytest.raises(ObjectStoreFailed, match="the power went") as caught:
        store.create(KEY, b"content")
    assert caught.value.url == tmp_path.as_uri()
    assert caught.value.key == KEY
    assert "the power went" in caught.value.cause
    assert isinstance(caught.value.__cause__, OSError)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ObjectStoreFailed):
        FolderStore(tmp_path / "file" / "store")


def test_a_key_that_is_a_folder_of_others_is_refused_without_harm(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put(KEY, b"content")
    for write in (store.put, store.create):
        with pytest.raises(ObjectStoreFailed):
            write("a/b", b"")
        with pytest.raises(ObjectStoreFailed):
            write(KEY + "/below", b"")
    assert store.list("") == [KEY]


def test_unfinished_objects_of_the_dead_are_swept_and_those_of_the_living_kept(
    tmp_path: Path,
) -> None:
    FolderStore(tmp_path)
    (tmp_path / "~" / "dead").write_bytes(b"half")
    os.utime(tmp_path / "~" / "dead", (1, 1))
    (tmp_path / "~" / "living").write_bytes(b"half")
    store = FolderStore(tmp_path)
    assert [path.name for path in (tmp_path / "~").iterdir()] == ["living"]
    assert store.list("") == []


def test_a_link_out_of_the_folder_is_not_followed_by_a_listing(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"")
    store = FolderStore(tmp_path / "store")
    (tmp_path / "store" / "way").symlink_to(tmp_path / "outside")
    assert store.list("") == ["way"]
    with pytest.raises(ObjectMissing):
        store.get("way")


def test_nothing_is_left_of_a_write_but_its_object(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.create(KEY, b"1")
    store.create(KEY, b"2")
    store.put(KEY, b"3")
    assert list((tmp_path / "~").iterdir()) == []
    assert store.list("") == [KEY]
