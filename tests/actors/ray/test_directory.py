"""Who owns what: of all who would change it at once one does, and the newest is the truth."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from actors.ray.directory import (
    BUCKETS,
    KEPT,
    Directory,
    _create,
    amend,
    bucket,
    load,
    newest,
    place,
    settle,
)
from actors.ray.errors import DirectoryTaken
from storage.objects import FolderStore


def test_three_hundred_hosts_are_told_apart(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    hosts = [f"host-{i}" for i in range(300)]
    made = settle(store, hosts)
    assert load(store) == made
    assert sorted(one for host in hosts for one in made.owned(host)) == list(range(BUCKETS))
    moved = amend(store, lambda found: found.moved([0, 1], "host-299"))
    assert {0, 1} <= set(newest(store).owned("host-299"))
    assert moved == newest(store)


def test_a_host_more_moves_only_what_it_gets() -> None:
    before, after = place(["a", "b", "c"]), place(["a", "b", "c", "d"])
    moved = [i for i in range(BUCKETS) if before[i] != after[i]]
    assert all(after[i] == 3 for i in moved)
    assert BUCKETS // 8 < len(moved) < BUCKETS // 3


def test_an_actor_keeps_its_bucket() -> None:
    assert bucket("Lead", "alice") == 3062
    assert Directory(1, ("a",), (0,) * BUCKETS).owner("Lead", "alice") == "a"


def test_all_changes_that_are_made_at_once_are_there(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    hosts = [f"host-{i}" for i in range(8)]
    settle(store, hosts)

    def enter(host: str) -> None:
        amend(store, lambda found: found.entered(host, "x"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enter, hosts))
    found = newest(store)
    assert set(found.tokens) == set(hosts)
    assert found.version == 1 + len(hosts)


def test_a_newer_incarnation_sorts_behind_an_older_one() -> None:
    first = Directory(9, ("a",), (0,) * BUCKETS).entered("a", "z")
    second = Directory(99, ("a",), (0,) * BUCKETS).entered("a", "a")
    assert first.tokens["a"] < second.tokens["a"]


def test_a_version_made_upon_one_long_gone_counts_for_nothing(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    old = settle(store, ["a", "b"])
    for i in range(KEPT + 5):
        amend(store, lambda found, i=i: found.moved([i], "a"))
    late = Directory(old.version + 1, old.hosts, (1,) * BUCKETS)
    assert _create(store, late), "its number is free again"
    assert newest(store).version == KEPT + 6
    assert newest(store).owned("a") != []
    assert len(store.list("directory/")) <= KEPT + 1


def test_who_joins_owns_nothing_and_who_leaves_takes_nothing_along() -> None:
    rng = random.Random(1)
    hosts = tuple(f"host-{i}" for i in range(5))
    owners = tuple(rng.randrange(5) for _ in range(BUCKETS))
    found = Directory(1, hosts, owners).joined(["new"])
    assert found.owned("new") == []
    emptied = found.moved(found.owned("host-1"), "new")
    left = emptied.left("host-1")
    assert "host-1" not in left.hosts
    assert [left.owner_of(one) for one in range(BUCKETS)] == [
        emptied.owner_of(one) for one in range(BUCKETS)
    ]


def test_a_directory_is_not_opened_with_another_number_of_hosts(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    settle(store, ["a", "b"])
    assert settle(store, ["c", "d"]).hosts == ("a", "b")
    with pytest.raises(DirectoryTaken, match=r"runtime\.scale\(3\)"):
        settle(store, ["a", "b", "c"])
