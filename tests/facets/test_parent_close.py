"""What becomes of a facet when the actor above it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from facets import LocalRuntime, Start
from facets.errors import (
    FacetAborted,
    FacetDeleted,
)
from tests.facets.fragile import LIMITS, SOURCE, Failing, Fragile, Lead, run


@pytest.fixture(autouse=True)
def fragile() -> None:
    Fragile.starts = Fragile.failing = 0


async def kept_below(lead: Lead) -> tuple[Any, Any]:
    """A facet and its child, which outlives it."""
    middle = lead.facets.get("middle", Fragile)
    assert await middle.child_counts(parent_close="keep") == 1
    return middle, await middle.child_alone()


@pytest.mark.parametrize("how", ["abort", "replace", "break"])
async def test_a_kept_facet_goes_on_with_its_calls_and_stubs_when_its_parent_ends(
    runtime: LocalRuntime, how: str
) -> None:
    async def story(lead: Lead) -> None:
        middle, child = await kept_below(lead)
        hanging = asyncio.create_task(child.hang())
        await asyncio.sleep(0)
        if how == "break":
            with pytest.raises(Failing):
                await middle.crash()
        else:
            getattr(lead.facets, how)("middle", *([Lead] if how == "replace" else []))
        assert await child.count() == 2
        assert not hanging.done()
        if how == "replace":
            lead.facets.abort("middle")
        again = lead.facets.get("middle", Fragile)
        assert await again.child_counts() == 3
        assert await again.child_alone() == child
        hanging.cancel()

    await run(runtime, story)


async def test_a_facet_that_is_not_kept_ends_with_its_parent(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        middle = lead.facets.get("middle", Fragile)
        await middle.child_counts()
        child = await middle.child_alone()
        lead.facets.abort("middle")
        with pytest.raises(FacetAborted):
            await child.count()

    await run(runtime, story)


async def test_a_kept_facet_ends_where_the_state_of_its_parent_does(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        _, child = await kept_below(lead)
        lead.facets.delete("middle")
        with pytest.raises(FacetDeleted):
            await child.count()
        _, child = await kept_below(lead)
        bookmark = lead.storage.bookmark()
        await lead.facets.restore("middle", bookmark)
        with pytest.raises(Exception, match="restored"):
            await child.count()

    await run(runtime, story)


async def test_a_kept_facet_speaks_to_the_next_incarnation_of_its_parent(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        one = lead.facets.get("one", Start(Fragile, parent_close="keep"))
        assert await one.parent_says() == "a"
        return one

    stub = await run(runtime, story)
    node = runtime.host.root(Lead, "a")
    node.abort(FacetAborted("an end of the parent alone"), keeping=True)
    assert await stub.parent_says() == "a"
    assert await run(runtime, story) == stub


async def test_what_a_kept_facet_wrote_in_its_parents_transaction_is_undone_with_it(
    runtime: LocalRuntime,
) -> None:
    class Careless(Fragile, kind="Careless"):
        async def half(self) -> None:
            async with self.facets.transaction():
                await self.facets.get("child", Start(Fragile, parent_close="keep")).count()
                await asyncio.Event().wait()

    async def story(lead: Lead) -> None:
        middle = lead.facets.get("middle", Careless)
        assert await middle.child_counts(parent_close="keep") == 1
        child = await middle.child_alone()
        hanging = asyncio.create_task(middle.half())
        for _ in range(5):
            await asyncio.sleep(0)
        lead.facets.abort("middle")
        assert await child.count() == 2
        with pytest.raises(FacetAborted):
            await hanging

    await run(runtime, story)


async def test_a_kept_isolate_goes_on_without_its_parent(runtime: LocalRuntime) -> None:
    class Host(Fragile, kind="Host"):
        async def tool(self) -> Any:
            code = self.isolates.get(SOURCE, limits=LIMITS).actor("Tool")
            return self.facets.get("tool", Start(code, parent_close="keep"))

    async def story(lead: Lead) -> None:
        tool = await lead.facets.get("middle", Host).tool()
        assert await tool.count() == 1
        lead.facets.abort("middle")
        assert await tool.count() == 2
        again = await lead.facets.get("middle", Host).tool()
        assert again == tool
        assert await again.count() == 3

    await run(runtime, story)
