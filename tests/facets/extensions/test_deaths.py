"""The process dies at each operation on the disk: nothing runs twice, or without consent."""

from __future__ import annotations

import gc
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from facets.errors import ExtensionDisabled
from facets.extensions import ask
from facets.testing import MemoryRuntime, die_everywhere
from tests.facets.extensions.test_life import COUNTER, MANIFEST, Lead, approve, run, upgraded

pytestmark = [
    # A sandbox that was about to open when the process died is never opened.
    pytest.mark.filterwarnings("ignore:coroutine 'IsolateActor.open' was never awaited"),
]
TENFOLD = COUNTER.replace("+ 1", "+ 10").replace("== 1", "== 10").replace("== 2", "== 20")
Story = Callable[[Lead], Awaitable[Any]]


async def with_counter(lead: Lead) -> None:
    await lead.extensions.propose(MANIFEST, COUNTER)
    await lead.extensions.approve("counter", "1")
    assert await lead.extensions.call("counter", "count", word="x") == 1


async def upgrade(lead: Lead) -> None:
    if (await lead.extensions.propose(upgraded("2", files="read"), TENFOLD)).state == "pending":
        await lead.extensions.approve("counter", "2")


async def look(lead: Lead) -> list[str]:
    """What must hold wherever it died; the states once all was gone on with."""
    ours = lead.extensions
    for _ in range(2):
        assert len([one for one in ours.versions("counter") if one.state == "active"]) <= 1
        agreed = False
        for event in ours.history("counter"):
            agreed = (agreed or event.what in ("approved", "consent: approve")) and (
                event.what != "proposed"
            )
            assert event.what != "activated" or agreed
        await ours.resume()
    assert await ours.resume() == []
    return [one.state for one in ours.versions("counter")]


async def died(setup: Story, act: Story, check: Story, *, every: int = 1) -> int:
    """Some deaths of each story; with FACETS_EVERY_DEATH=1 all of them, which takes minutes."""
    every = 1 if os.environ.get("FACETS_EVERY_DEATH") else every

    async def first(runtime: MemoryRuntime) -> None:
        await run(runtime, setup, consent=ask)

    async def then(runtime: MemoryRuntime) -> None:
        await run(runtime, act, consent=ask)

    async def after(runtime: MemoryRuntime) -> None:
        await run(runtime, check, consent=ask)

    deaths = await die_everywhere(first, then, after, every=every)
    gc.collect()  # what the deaths left is gone here, and not during some other test
    return deaths


async def test_an_upgrade_runs_with_consent_or_the_version_before_does() -> None:
    async def check(lead: Lead) -> None:
        states = await look(lead)
        counted = await lead.extensions.call("counter", "count", word="x")
        assert (states, counted) in (
            (["active"], 2),
            (["active", "pending"], 2),
            (["retired", "active"], 11),
        )
        await upgrade(lead)
        assert [one.version for one in lead.extensions.list()] == ["2"]

    assert await died(with_counter, upgrade, check, every=23) > 3


async def test_a_rollback_has_the_data_of_before_or_has_not_begun() -> None:
    async def setup(lead: Lead) -> None:
        await with_counter(lead)
        await upgrade(lead)
        assert await lead.extensions.call("counter", "count", word="x") == 11

    async def act(lead: Lead) -> None:
        await lead.extensions.rollback("counter")

    async def check(lead: Lead) -> None:
        ours = lead.extensions
        states = await look(lead)
        if states == ["retired", "active"]:
            # Not gone back, or its data only: asked again, it goes back.
            assert await ours.call("counter", "count", word="y") == 10
            await ours.rollback("counter")
        assert [one.version for one in ours.list()] == ["1"]
        assert await ours.call("counter", "count", word="x") == 2
        assert await ours.call("counter", "count", word="y") == 1

    assert await died(setup, act, check, every=13) > 3


async def test_an_upgrade_that_breaks_when_it_takes_over_leaves_the_version_before() -> None:
    """It knows a rehearsal from the real thing, and starts only there."""
    sly = COUNTER + (
        "\n    async def on_start(self):\n"
        "        self.kv['x'] = 99\n"
        "        if not self.name.startswith(('rehearsal', 'test')): raise ValueError('surprise')\n"
    )

    async def act(lead: Lead) -> None:
        await lead.extensions.propose(upgraded("2"), sly)
        await lead.extensions.approve("counter", "2")

    async def check(lead: Lead) -> None:
        states = await look(lead)
        assert states[0] == "active"
        assert states[1:] in ([], ["pending"], ["failed"])
        assert await lead.extensions.call("counter", "count", word="x") == 2

    async def whole(lead: Lead) -> None:
        await with_counter(lead)
        await act(lead)
        (_, failed) = lead.extensions.versions("counter")
        assert "surprise" in failed.problems[0]

    async with MemoryRuntime() as runtime:
        await run(runtime, whole, consent=ask)
    assert await died(with_counter, act, check, every=43) > 3


async def test_a_hook_that_breaks_after_an_upgrade_is_off_and_the_version_before_comes_back() -> (
    None
):
    hooked = COUNTER + "\n    async def said(self, text):\n        raise ValueError(text)\n"

    async def setup(lead: Lead) -> None:
        await with_counter(lead)
        await lead.extensions.propose(upgraded("2") | {"hooks": [{"event": "said"}]}, hooked)
        await lead.extensions.approve("counter", "2")

    async def act(lead: Lead) -> None:
        for word in "abc":
            assert await lead.extensions.emit("said", word) == word

    async def check(lead: Lead) -> None:
        ours = lead.extensions
        assert await look(lead) == ["retired", "active"]
        for word in "abc":  # what was counted before the death counts
            assert await ours.emit("said", word) == word
        with pytest.raises(ExtensionDisabled):
            await ours.call("counter", "count", word="x")
        await ours.rollback("counter")
        assert await ours.call("counter", "count", word="x") == 2

    assert await died(setup, act, check, every=13) > 1


async def test_what_is_removed_is_gone_or_was_not_touched() -> None:
    async def act(lead: Lead) -> None:
        await lead.extensions.remove("counter")

    async def check(lead: Lead) -> None:
        ours = lead.extensions
        if await look(lead) == ["active"]:
            assert await ours.call("counter", "count", word="x") == 2
            await ours.remove("counter")
        assert (ours.list(), lead.facets.list()) == ([], [])

    assert await died(with_counter, act, check, every=7) > 0


async def test_a_policy_that_approves_is_a_consent_too() -> None:
    async def check(lead: Lead) -> None:
        assert await look(lead) == ["active"]

    async with MemoryRuntime() as runtime:
        await run(runtime, propose, consent=approve)
        await run(runtime, check, consent=approve)


async def propose(lead: Lead) -> None:
    await lead.extensions.propose(MANIFEST, COUNTER)
