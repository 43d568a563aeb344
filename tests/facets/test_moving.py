"""Actors that get another name or place, with all below them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from facets import Actor, LocalRuntime
from facets.errors import (
    ActorMoved,
    BadName,
    BelowItself,
    DepthExceeded,
    EffectInTransaction,
    NameTaken,
    NoState,
    OtherRuntime,
)


class Box(Actor, kind="Box"):
    """A path of names leads from one to a box below it."""

    async def box(self, path: str) -> Any:
        name, _, rest = path.partition("/")
        below = self.facets.get(name, Box)
        return await below.box(rest) if rest else below

    async def put(self, value: str) -> None:
        self.kv["x"] = value

    async def read(self) -> Any:
        return self.kv.get("x")

    async def names(self) -> list[str]:
        return self.facets.list()

    async def rename(self, name: str, new_name: str) -> None:
        self.facets.rename(name, new_name)

    async def move(self, name: str, to: Any, new_name: str | None = None) -> None:
        self.facets.move(name, to, new_name)

    async def promote(self, name: str, new_name: str) -> Any:
        return self.facets.promote(name, Box, new_name)

    async def rename_inside(self) -> None:
        async with self.facets.transaction():
            self.facets.rename("a", "b")

    async def write_and_rename(self) -> None:
        self.kv["x"] = "written before"
        self.facets.rename("nothing", "b")

    async def wait(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture
async def box(runtime: LocalRuntime) -> Box:
    """A root `k` with `a`, `a/deep` and `a/deep/er`."""
    box = runtime.get(Box, "k")
    for path in ("a", "a/deep", "a/deep/er"):
        await (await box.box(path)).put(path)
    return box


async def read(box: Box, path: str) -> Any:
    return await (await box.box(path)).read()


# -- names ----------------------------------------------------------------------------------


async def test_a_facet_is_renamed_with_all_below_it(box: Box) -> None:
    await box.rename("a", "b")

    assert await box.names() == ["b"]
    assert await read(box, "b") == "a"
    assert await read(box, "b/deep/er") == "a/deep/er"
    assert await read(box, "a") is None


async def test_a_facet_is_renamed_by_a_facet(box: Box) -> None:
    await (await box.box("a")).rename("deep", "low")

    assert await read(box, "a/low/er") == "a/deep/er"


async def test_old_stubs_say_where_it_went(box: Box) -> None:
    stub, below = await box.box("a"), await box.box("a/deep")

    await box.rename("a", "b")

    with pytest.raises(ActorMoved) as error:
        await stub.read()
    assert error.value.to == "Box:k/b"
    with pytest.raises(ActorMoved) as error:
        await below.read()
    assert error.value.to == "Box:k/b/deep"


async def test_calls_in_progress_end_and_say_where_it_went(box: Box) -> None:
    waiting = asyncio.create_task((await box.box("a/deep")).wait())
    await asyncio.sleep(0)

    await box.rename("a", "b")

    with pytest.raises(ActorMoved):
        await waiting


async def test_a_stub_got_before_reaches_what_comes_under_its_name(box: Box) -> None:
    early = await box.box("b")

    await box.rename("a", "b")

    assert await early.read() == "a"


async def test_a_rename_is_durable_when_the_caller_hears_of_it(
    runtime: LocalRuntime, box: Box, state: Path
) -> None:
    await box.rename("a", "b")

    assert runtime.host.store.durable == runtime.host.store.committed
    await runtime.close()
    async with LocalRuntime(state) as again:
        assert await read(again.get(Box, "k"), "b/deep/er") == "a/deep/er"


async def test_a_name_that_is_taken_is_refused_and_nobody_ends(box: Box) -> None:
    stub = await box.box("a")
    await (await box.box("b")).put("b")
    running = await box.box("c")
    await running.read()

    for name in ("b", "c", "a"):
        with pytest.raises(NameTaken):
            await box.rename("a", name)

    assert await stub.read() == "a"
    assert await read(box, "b") == "b"


async def test_what_never_wrote_and_what_is_no_name_are_refused(box: Box) -> None:
    with pytest.raises(NoState):
        await box.write_and_rename()
    with pytest.raises(BadName):
        await box.rename("a", "")

    assert await box.read() == "written before"


async def test_a_rename_inside_a_transaction_is_refused(box: Box) -> None:
    with pytest.raises(EffectInTransaction):
        await box.rename_inside()

    assert await read(box, "a") == "a"


async def test_an_actor_is_renamed_by_its_runtime(runtime: LocalRuntime, box: Box) -> None:
    await runtime.rename(Box, "k", "z")

    assert runtime.list(Box) == ["z"]
    assert await read(runtime.get(Box, "z"), "a/deep/er") == "a/deep/er"
    with pytest.raises(ActorMoved) as error:
        await box.read()
    assert error.value.to == "Box:z"
    assert await runtime.get(Box, "k").names() == []


# -- places ---------------------------------------------------------------------------------


async def test_a_facet_moves_to_another_parent_of_its_tree(box: Box) -> None:
    await (await box.box("a/deep")).move("er", box, "top")
    await box.move("top", await box.box("other"))

    assert await read(box, "other/top") == "a/deep/er"
    assert await box.names() == ["a", "other"]


async def test_a_facet_moves_to_another_tree(runtime: LocalRuntime, box: Box, state: Path) -> None:
    there = runtime.get(Box, "there")

    await box.move("a", there)

    assert await read(there, "a/deep/er") == "a/deep/er"
    assert await box.names() == []
    await runtime.close()
    async with LocalRuntime(state) as again:
        assert await read(again.get(Box, "there"), "a/deep/er") == "a/deep/er"


async def test_nothing_moves_below_itself(runtime: LocalRuntime, box: Box) -> None:
    deep = await box.box("a/deep")
    for to in (await box.box("a"), deep):
        with pytest.raises(BelowItself):
            await box.move("a", to, "b")
    with pytest.raises(BelowItself):
        await runtime.demote(Box, "k", deep, "b")

    assert await deep.read() == "a/deep"


async def test_nothing_moves_below_what_was_moved_away(runtime: LocalRuntime, box: Box) -> None:
    gone = await box.box("a/deep")
    await (await box.box("b")).put("b")
    await box.rename("a", "c")

    with pytest.raises(ActorMoved):
        await box.move("b", gone)
    await runtime.rename(Box, "k", "z")
    with pytest.raises(ActorMoved):
        await runtime.get(Box, "z").move("b", box)

    assert await read(runtime.get(Box, "z"), "b") == "b"


async def test_the_new_parent_is_a_stub_of_this_runtime(box: Box, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        await box.move("a", "Box:k")
    async with LocalRuntime(tmp_path / "other") as other:
        with pytest.raises(OtherRuntime):
            await box.move("a", other.get(Box, "o"))

    assert await read(box, "a") == "a"


async def test_nothing_moves_deeper_than_there_are_levels(box: Box) -> None:
    path = "/".join(["d"] * 30)
    bottom = await box.box(path)

    with pytest.raises(DepthExceeded):
        await box.move("a", bottom)
    assert await read(box, "a/deep/er") == "a/deep/er"
    await (await box.box("a/deep")).move("er", bottom)

    assert await read(box, f"{path}/er") == "a/deep/er"


# -- roots ----------------------------------------------------------------------------------


async def test_a_facet_is_promoted_to_an_actor_of_its_own(runtime: LocalRuntime, box: Box) -> None:
    stub = await box.promote("a", "free")

    assert await stub.read() == "a"
    assert runtime.list(Box) == ["free", "k"]
    assert await read(runtime.get(Box, "free"), "deep/er") == "a/deep/er"
    assert await box.names() == []
    await runtime.delete(Box, "k")
    assert await stub.read() == "a"


async def test_nothing_becomes_an_actor_that_belongs_to_another_host(
    runtime: LocalRuntime, box: Box
) -> None:
    runtime.host.owns = lambda kind, name: name != "theirs"

    with pytest.raises(OtherRuntime):
        await box.promote("a", "theirs")
    assert await read(box, "a/deep") == "a/deep"

    await box.promote("a", "ours")
    assert await runtime.get(Box, "ours").read() == "a"


async def test_an_actor_is_demoted_to_a_facet(runtime: LocalRuntime, box: Box) -> None:
    other = runtime.get(Box, "other")

    await runtime.demote(Box, "k", other, "was k")

    assert runtime.list(Box) == ["other"]
    assert await read(other, "was k/a/deep") == "a/deep"
    with pytest.raises(ActorMoved):
        await box.read()


# -- pasts ----------------------------------------------------------------------------------


async def test_to_restore_the_parent_gives_the_former_name_back(
    runtime: LocalRuntime, box: Box
) -> None:
    before = runtime.bookmark()
    await box.rename("a", "b")
    await (await box.box("b/deep")).put("later")

    undo = await runtime.restore(Box, "k", before)
    assert await box.names() == ["a"]
    assert await read(box, "a/deep") == "a/deep"

    await runtime.restore(Box, "k", undo)
    assert await box.names() == ["b"]
    assert await read(box, "b/deep") == "later"


async def test_a_past_goes_along_to_another_tree(runtime: LocalRuntime, box: Box) -> None:
    before = runtime.bookmark()
    free = await box.promote("a", "free")
    await free.put("later")

    await runtime.restore(Box, "free", before)

    assert await free.read() == "a"
    assert await read(free, "deep/er") == "a/deep/er"
    assert runtime.list(Box) == ["free", "k"]


async def test_to_restore_the_former_parent_gives_it_a_copy(
    runtime: LocalRuntime, box: Box
) -> None:
    before = runtime.bookmark()
    free = await box.promote("a", "free")
    await free.put("later")

    await runtime.restore(Box, "k", before)

    assert await read(box, "a") == "a"
    assert await read(box, "a/deep/er") == "a/deep/er"
    assert await free.read() == "later"


async def test_what_a_restore_deletes_of_another_tree_comes_back(
    runtime: LocalRuntime, box: Box
) -> None:
    there = runtime.get(Box, "there")
    await there.put("there")
    before = runtime.bookmark()
    await box.move("a", there)

    undo = await runtime.restore(Box, "there", before)
    assert await there.names() == []
    await runtime.restore(Box, "there", undo)

    assert await read(there, "a/deep/er") == "a/deep/er"


async def test_the_past_of_what_was_promoted_outlives_the_tree_it_began_in(
    runtime: LocalRuntime, box: Box
) -> None:
    before = runtime.bookmark()
    free = await box.promote("a", "free")
    await runtime.delete(Box, "k")
    await free.put("later")

    await runtime.restore(Box, "free", before)

    assert await free.read() == "a"
