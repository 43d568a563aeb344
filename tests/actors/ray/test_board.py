"""What hosts share where they share nothing: it keeps the rules of an object store, and outlives
the cluster on the disks of who saw it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.ray.board import Board
from storage.objects import FolderStore, ObjectStore
from storage.testing.conformance import ObjectStoreConformance


@pytest.fixture
def name(ray: Any, tmp_path: Path) -> str:
    return tmp_path.name


class TestBoard(ObjectStoreConformance):
    @pytest.fixture
    def store(self, name: str) -> ObjectStore:
        return Board(name)


class TestBoardOfAHost(ObjectStoreConformance):
    @pytest.fixture
    def store(self, name: str, tmp_path: Path) -> ObjectStore:
        return Board(name, FolderStore(tmp_path / "mirror"))


def test_what_a_host_wrote_or_read_comes_back_in_another_cluster_the_newest_of_each(
    name: str, tmp_path: Path
) -> None:
    disks = [FolderStore(tmp_path / disk) for disk in "ab"]
    first, second = (Board(name, disk) for disk in disks)
    first.put("class", b"old")
    assert second.get("class") == b"old"
    second.put("class", b"new")
    first.put("seat", b"1")
    Board(name).put("fleet", b"seen by no host")
    later = f"{name}-later"
    for disk in disks[::-1]:
        Board(later, disk).recall()
    assert Board(later).get("class") == b"new"
    assert Board(later).get("seat") == b"1"
    assert Board(later).list("") == ["class", "seat"]
