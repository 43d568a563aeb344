"""One actor back from a replica: this runtime's own, or another host's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors import LocalRuntime
from actors.errors import ActorRestored, NoReplica
from facets import Actor
from storage.errors import BookmarkAhead, BookmarkGone, NoState
from storage.objects import FolderStore, ObjectStore
from storage.testing.objects import MemoryStore
from tests.actors.test_replica import compacted

BIG = "x" * 3_000_000


class Leaf(Actor, kind="RetrievalLeaf"):
    async def add(self, n: int = 1) -> int:
        self.kv["n"] = self.kv.get("n", 0) + n
        return int(self.kv["n"])


class Tree(Leaf, kind="RetrievalTree"):
    async def grow(self, name: str, n: int = 1) -> int:
        return int(await self.facets.get(name, Leaf).add(n))

    async def names(self) -> list[str]:
        return sorted(self.facets.list())

    async def cut(self, name: str) -> None:
        self.facets.delete(name)

    async def keep(self, text: str) -> None:
        self.fs.write_text("/big", text)

    async def kept(self) -> str:
        return self.fs.read_text("/big")

    async def wait(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture(params=["memory", "folder"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return MemoryStore() if request.param == "memory" else FolderStore(tmp_path / "replica")


@pytest.fixture
async def runtime(tmp_path: Path, objects: ObjectStore) -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime(tmp_path / "a", replica=objects, durability="replicated") as runtime:
        yield runtime


async def grown(runtime: LocalRuntime) -> Tree:
    tree = runtime.get(Tree, "t")
    await tree.add(7)
    await tree.grow("left", 3)
    await tree.grow("right", 4)
    await tree.keep(BIG)
    return tree


async def test_an_actor_comes_whole_from_the_replica_of_a_host_that_lives(
    runtime: LocalRuntime, objects: ObjectStore, tmp_path: Path
) -> None:
    tree = await grown(runtime)
    await compacted(runtime)
    await tree.grow("left")

    async with LocalRuntime(tmp_path / "b") as other:
        await other.restore_from_replica(Tree, "t", replica=objects)
        again = other.get(Tree, "t")
        assert await again.add(0) == 7
        assert await again.names() == ["left", "right"]
        assert [await again.grow("left"), await again.grow("right")] == [5, 5]
        assert await again.kept() == BIG
    assert await tree.add() == 8  # and the one there has lost nothing by it


async def test_a_copy_from_another_replica_needs_nothing_of_it_afterwards(
    runtime: LocalRuntime, objects: ObjectStore, tmp_path: Path
) -> None:
    await grown(runtime)
    await runtime.close()
    other = MemoryStore()
    async with LocalRuntime(tmp_path / "b", replica=other, durability="replicated") as second:
        await second.restore_from_replica(Tree, "t", replica=objects, host="main")
    for key in objects.list(""):
        objects.delete(key)

    async with LocalRuntime(tmp_path / "c", replica=other) as third:
        assert await third.get(Tree, "t").grow("left", 0) == 3
        assert await third.get(Tree, "t").kept() == BIG


async def test_the_undo_leads_back_to_what_was_there_facets_and_all(
    runtime: LocalRuntime,
) -> None:
    tree = await grown(runtime)
    mark = runtime.bookmark()
    await tree.cut("left")
    await tree.grow("new", 9)
    await tree.keep("small")

    undo = await runtime.restore_from_replica(Tree, "t", mark)
    tree = runtime.get(Tree, "t")
    assert await tree.names() == ["left", "right"]
    assert await tree.kept() == BIG

    await runtime.restore(Tree, "t", undo)
    tree = runtime.get(Tree, "t")
    assert await tree.names() == ["new", "right"]
    assert await tree.grow("new", 0) == 9
    assert await tree.kept() == "small"
    await runtime.restore(Tree, "t", mark)
    assert await runtime.get(Tree, "t").names() == ["left", "right"]


async def test_calls_in_progress_are_told_where_it_leads_back(runtime: LocalRuntime) -> None:
    tree = await grown(runtime)
    waiting = asyncio.ensure_future(tree.wait())
    await tree.add()

    undo = await runtime.restore_from_replica(Tree, "t")
    with pytest.raises(ActorRestored) as caught:
        await waiting
    assert caught.value.undo == undo


async def test_every_moment_since_the_newest_manifest_can_be_had(runtime: LocalRuntime) -> None:
    tree = await grown(runtime)
    before, early = runtime.bookmark(), time.time()
    await tree.add()
    await compacted(runtime)
    marks = []
    for n in range(9, 14):
        await tree.add()
        await tree.grow("left")
        marks.append((runtime.bookmark(), time.time(), n))

    for mark, at, n in marks:
        for when in (mark, at):
            await runtime.restore_from_replica(Tree, "t", when)
            assert await runtime.get(Tree, "t").add(0) == n
            assert await runtime.get(Tree, "t").grow("left", 0) == n - 5
    for old in (before, early):
        with pytest.raises(BookmarkGone) as caught:
            await runtime.restore_from_replica(Tree, "t", old)
        await runtime.restore_from_replica(Tree, "t", caught.value.oldest)
        assert await runtime.get(Tree, "t").add(0) == 8


async def test_what_the_replica_does_not_have_changes_nothing(runtime: LocalRuntime) -> None:
    tree = await grown(runtime)
    newest = runtime.bookmark()
    ahead = f"{newest[:8]}-{int(newest[9:], 16) + 1:016x}"
    with pytest.raises(BookmarkAhead) as caught:
        await runtime.restore_from_replica(Tree, "t", ahead)
    assert caught.value.newest == newest
    with pytest.raises(NoState):
        await runtime.restore_from_replica(Tree, "other")
    with pytest.raises(NoState):
        await runtime.restore_from_replica(Tree, "t", host="nobody")
    assert await tree.add(0) == 7
    assert runtime.list(Tree) == ["t"]
    assert not list((runtime.root / "staging").glob("*"))


async def test_a_runtime_without_a_replica_must_be_told_which(tmp_path: Path) -> None:
    async with LocalRuntime(tmp_path / "b") as runtime:
        with pytest.raises(NoReplica):
            await runtime.restore_from_replica(Tree, "t")
