"""Whole subtrees: cloned, exported and imported while they run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from facets import Actor, LocalRuntime
from facets.errors import ActorBroken, BadArchive, EffectInTransaction, NoState, NotABookmark
from storage import Store


class Keeper(Actor, kind="Keeper"):
    async def put(self, path: str, value: str) -> None:
        if path:
            name, _, rest = path.partition("/")
            await self.facets.get(name, Keeper).put(rest, value)
        else:
            self.kv["x"] = value

    async def read(self, path: str) -> Any:
        if path:
            name, _, rest = path.partition("/")
            return await self.facets.get(name, Keeper).read(rest)
        return self.kv.get("x")

    async def clone(self, source: str, target: str) -> None:
        await self.facets.clone(source, target)

    async def write_and_clone(self, source: str, target: str) -> None:
        self.kv["x"] = "written before"
        await self.facets.clone(source, target)
        self.kv["x"] = "written after"

    async def clone_of_then(self, source: str, target: str, bookmark: str) -> None:
        await self.facets.clone(source, target, at=bookmark)

    async def differences(self, name: str, **moments: Any) -> list[Any]:
        return [one async for one in self.facets.diff(name, **moments)]

    async def diff_inside(self) -> None:
        async with self.facets.transaction():
            async for _ in self.facets.diff("a", "b"):
                pass

    async def export(self, name: str, path: Path) -> None:
        await self.facets.export(name, path)

    async def bring(self, name: str, path: Path) -> None:
        await self.facets.import_(name, path)

    async def clone_inside(self) -> None:
        async with self.facets.transaction():
            await self.facets.clone("a", "b")

    async def wait(self, path: str) -> None:
        if path:
            await self.facets.get(path, Keeper).wait("")
        await asyncio.Event().wait()

    async def store(self, path: str, content: bytes) -> None:
        self.fs.write(path, content)

    async def load(self, path: str) -> bytes:
        return self.fs.read(path)

    async def names(self) -> list[str]:
        return self.facets.list()


@pytest.fixture
async def keeper(runtime: LocalRuntime) -> Keeper:
    keeper = runtime.get(Keeper, "k")
    await keeper.put("a", "one")
    await keeper.put("a/deep", "two")
    return keeper


async def test_a_facet_is_cloned_with_all_below_it(keeper: Keeper) -> None:
    await keeper.clone("a", "b")
    await keeper.put("a/deep", "changed")

    assert await keeper.read("b") == "one"
    assert await keeper.read("b/deep") == "two"
    assert await keeper.names() == ["a", "b"]


async def test_a_clone_ends_the_facet_it_replaces(keeper: Keeper) -> None:
    await keeper.put("b/old", "old")
    waiting = asyncio.create_task(keeper.wait("b"))
    await asyncio.sleep(0)

    await keeper.clone("a", "b")

    with pytest.raises(ActorBroken, match="replaced"):
        await waiting
    assert await keeper.read("b/old") is None
    assert await keeper.read("b") == "one"


async def test_a_clone_is_durable_when_it_returns(runtime: LocalRuntime, keeper: Keeper) -> None:
    await keeper.clone("a", "b")

    store: Store = runtime._open().store
    assert store.durable == store.committed


async def test_a_clone_onto_itself_changes_nothing(keeper: Keeper) -> None:
    await keeper.clone("a", "a")

    assert await keeper.read("a/deep") == "two"


async def test_cloning_what_never_wrote_is_refused(keeper: Keeper) -> None:
    with pytest.raises(NoState):
        await keeper.clone("nothing", "b")


async def test_cloning_ends_the_step(keeper: Keeper) -> None:
    with pytest.raises(NoState):
        await keeper.write_and_clone("nothing", "b")

    assert await keeper.read("") == "written before"


async def test_cloning_inside_a_transaction_is_refused(keeper: Keeper) -> None:
    with pytest.raises(EffectInTransaction):
        await keeper.clone_inside()


async def test_a_whole_actor_is_cloned_by_its_runtime(
    runtime: LocalRuntime, keeper: Keeper, state: Path
) -> None:
    await runtime.clone(Keeper, "k", "copy")
    await runtime.close()

    async with LocalRuntime(state) as again:
        assert await again.get(Keeper, "copy").read("a/deep") == "two"
        assert again.list(Keeper) == ["copy", "k"]


async def test_a_clone_is_made_of_what_was_at_a_bookmark(
    runtime: LocalRuntime, keeper: Keeper
) -> None:
    then = runtime.bookmark()
    await keeper.put("a", "later")
    await keeper.put("a/new", "new")

    await keeper.clone_of_then("a", "b", then)
    await runtime.clone(Keeper, "k", "fork", at=then)

    assert await keeper.read("b") == "one"
    assert await keeper.read("b/deep") == "two"
    assert await keeper.read("b/new") is None
    assert await keeper.read("a") == "later"
    assert await runtime.get(Keeper, "fork").read("a/deep") == "two"
    assert await runtime.get(Keeper, "fork").names() == ["a"]


async def test_a_clone_of_what_was_not_there_is_refused(
    runtime: LocalRuntime, keeper: Keeper
) -> None:
    then = runtime.bookmark()
    await keeper.put("c", "later")

    with pytest.raises(NoState):
        await keeper.clone_of_then("c", "b", then)
    with pytest.raises(NotABookmark):
        await keeper.clone_of_then("a", "b", "yesterday")

    assert await keeper.names() == ["a", "c"]


async def test_what_changed_since_a_bookmark_is_told(runtime: LocalRuntime, keeper: Keeper) -> None:
    then = runtime.bookmark()
    await keeper.put("a/deep", "changed")

    (mine,) = await keeper.differences("a", at=then)
    (whole,) = [one async for one in runtime.diff(Keeper, "k", at=then)]

    assert (mine.actor, whole.actor) == (("deep",), ("a", "deep"))
    assert (mine.old, mine.new) == ({"value": "two"}, {"value": "changed"})


async def test_two_facets_are_compared(keeper: Keeper) -> None:
    await keeper.clone("a", "b")
    assert await keeper.differences("a", other="b") == []
    await keeper.put("b", "other")

    (found,) = await keeper.differences("a", other="b")

    assert (found.kind, found.change, found.actor) == ("key", "changed", ())


async def test_a_comparison_that_is_left_early_holds_nothing(
    runtime: LocalRuntime, keeper: Keeper
) -> None:
    for n in range(5):
        await keeper.put(f"b{n}", "x")
    found = runtime.diff(Keeper, "k", "k", at=runtime.bookmark())
    await keeper.put("a", "changed")
    async for _ in found:
        break
    await found.aclose()

    assert not any(one.held for one in runtime.host.store.databases.live.values())


async def test_comparing_inside_a_transaction_is_refused(keeper: Keeper) -> None:
    with pytest.raises(EffectInTransaction):
        await keeper.diff_inside()


async def test_an_archive_moves_an_actor_to_another_directory(
    runtime: LocalRuntime, keeper: Keeper, tmp_path: Path
) -> None:
    await runtime.export(Keeper, "k", tmp_path / "k.tar")

    async with LocalRuntime(tmp_path / "other") as other:
        await other.import_(Keeper, "z", tmp_path / "k.tar")
        assert await other.get(Keeper, "z").read("a/deep") == "two"


async def test_a_facet_is_exported_and_imported_by_its_parent(
    keeper: Keeper, tmp_path: Path
) -> None:
    await keeper.export("a", tmp_path / "a.tar")
    await keeper.bring("b", tmp_path / "a.tar")

    assert await keeper.read("b/deep") == "two"


async def test_an_archive_holds_large_files_too(
    runtime: LocalRuntime, keeper: Keeper, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 12_000
    await keeper.store("/big", content)
    await runtime.export(Keeper, "k", tmp_path / "k.tar")

    async with LocalRuntime(tmp_path / "other") as other:
        await other.import_(Keeper, "z", tmp_path / "k.tar")
        assert await other.get(Keeper, "z").load("/big") == content


async def test_a_bad_archive_changes_nothing(keeper: Keeper, tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(b"bad")

    with pytest.raises(BadArchive):
        await keeper.bring("a", tmp_path / "bad.tar")

    assert await keeper.read("a") == "one"
