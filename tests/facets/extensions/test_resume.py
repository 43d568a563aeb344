"""A death of the process at any stage of an upgrade: the next life goes on, one version runs."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from typing import Any

import pytest

from facets.extensions import extensions as module
from facets.extensions.records import Records
from facets.testing import Crashed, MemoryRuntime
from tests.facets.extensions.test_life import COUNTER, MANIFEST, Lead, approve, run, upgraded

MIGRATING = (
    COUNTER
    + """
    async def on_start(self):
        for word in list(self.kv):
            if not word.startswith("old-"):
                self.kv["old-" + word] = self.kv.pop(word)
"""
)
STAGES = 5
"""Rows that an upgrade writes: proposed, consent, activating, retired, activated."""


async def first(lead: Lead) -> None:
    await lead.extensions.propose(MANIFEST, COUNTER)
    assert await lead.extensions.call("counter", "count", word="x") == 1


async def upgrade(lead: Lead) -> None:
    await lead.extensions.propose(upgraded("2"), MIGRATING)


async def look(lead: Lead) -> list[Any]:
    await lead.extensions.resume()
    states = [one.state for one in lead.extensions.versions("counter")]
    assert await lead.extensions.resume() == []
    counted = await lead.extensions.call("counter", "count", word="x")
    return [states, counted, lead.facets.list()]


# A sandbox that was about to open when the process died is never opened.
@pytest.mark.filterwarnings("ignore:coroutine 'IsolateActor.open' was never awaited")
@pytest.mark.parametrize("stage", range(1, STAGES + 1))
async def test_a_death_at_any_stage_of_an_upgrade_is_gone_on_from(
    stage: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = asyncio.Event()
    written = 0
    save = Records.save

    async def die(runtime: MemoryRuntime) -> None:
        await reached.wait()
        await runtime.crash()

    def saved(records: Records, *args: Any, **kwargs: Any) -> Any:
        nonlocal written
        written += 1
        if written == stage:
            reached.set()
        return save(records, *args, **kwargs)

    async with MemoryRuntime() as runtime:
        await run(runtime, first, consent=approve)
        death = asyncio.create_task(die(runtime))
        monkeypatch.setattr(Records, "save", saved)
        with suppress(Crashed):
            await run(runtime, upgrade, consent=approve)
        await death
        monkeypatch.undo()
        states, counted, there = await run(runtime, look, consent=approve)
        # The old one counts on from 1; the new one has put that away, exactly once.
        assert (states, counted) in ((["active"], 2), (["retired", "active"], 1))
        assert there == ["extension counter"]
    gc.collect()  # what the death left is gone here, and not during some other test


STARTS = """
from facets import Actor

class Extension(Actor):
    async def on_start(self):
        self.kv["starts"] = self.kv.get("starts", 0) + 1
    async def count(self, word=""):
        return self.kv["starts"]
"""


async def test_an_activation_begins_again_with_the_data_from_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def act(lead: Lead) -> None:
        await lead.extensions.propose(MANIFEST, STARTS.replace("+ 1", "+ 0"))
        monkeypatch.setattr(module, "started", broken_off)
        with pytest.raises(ConnectionAbortedError):
            await lead.extensions.propose(upgraded("2"), STARTS)

    async def broken_off(stub: Any) -> Any:
        await started(stub)
        raise ConnectionAbortedError

    async def after(lead: Lead) -> list[Any]:
        (resumed,) = await lead.extensions.resume()
        return [resumed.state, await lead.extensions.call("counter", "count")]

    started = module.started
    async with MemoryRuntime() as runtime:
        await run(runtime, act, consent=approve)
        monkeypatch.undo()
        await runtime.crash()
        assert await run(runtime, after, consent=approve) == ["active", 1]
