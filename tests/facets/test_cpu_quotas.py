"""Quotas on the processor time of sandboxes."""

from __future__ import annotations

import pytest

from actors.testing import VirtualClock
from facets import LocalRuntime, Quota, Start
from facets.errors import (
    CpuQuota,
    OutOfCpu,
)
from tests.facets.workers import Lead, run

SPIN = """
import asyncio, time
from facets import Actor

class Tool(Actor):
    async def spin(self, rounds):
        n = 0
        for _ in range(rounds):
            n += sum(range(1000))
        return n
    async def forever(self):
        while True:
            await asyncio.sleep(0)
    async def count(self):
        self.kv["n"] = self.kv.get("n", 0) + 1
        return self.kv["n"]

async def main():
    while True:
        await asyncio.sleep(0)
"""


@pytest.mark.parametrize("method", ["spin", "forever"])
async def test_an_isolate_is_killed_when_the_processor_time_of_its_quota_is_used_up(
    runtime: LocalRuntime, clock: VirtualClock, method: str
) -> None:
    async def story(lead: Lead) -> None:
        isolate = lead.isolates.get(SPIN)
        start = Start(isolate.actor("Tool"), quota=Quota(cpu=0.3))
        tool = lead.facets.get("tool", start)
        assert await tool.count() == 1
        with pytest.raises(OutOfCpu) as caught:
            await tool.spin(10**9) if method == "spin" else await tool.forever()
        assert isinstance(caught.value, CpuQuota)
        usage = lead.facets.stat("tool").usage["cpu"]
        assert 0.3 < usage.used < 2
        with pytest.raises(CpuQuota) as refused:
            await lead.facets.get("tool", start).count()
        assert refused.value.owner == "Lead:a/tool"
        assert await lead.facets.get("other", isolate.actor("Tool")).count() == 1
        clock.advance(refused.value.retry_after)
        assert await lead.facets.get("tool", start).count() == 2

    await run(runtime, story)


async def test_what_an_entry_point_computes_counts_for_the_actor_that_loaded_it(
    runtime: LocalRuntime,
) -> None:
    class Host(Lead, kind="Host"):
        async def compute(self) -> None:
            await self.isolates.run(SPIN)

    async def story(lead: Lead) -> None:
        host = lead.facets.get("host", Start(Host, quota=Quota(cpu=0.2)))
        with pytest.raises(OutOfCpu):
            await host.compute()
        with pytest.raises(CpuQuota):
            await host.compute()

    await run(runtime, story)


async def test_a_call_in_a_sandbox_that_is_refused_kills_nothing(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    async def story(lead: Lead) -> None:
        code = lead.isolates.get(SPIN).actor("Tool")
        tool = lead.facets.get("tool", Start(code, quota=Quota(cpu=60)))
        used = 0.0
        while used < 0.2:
            await tool.spin(1000)
            used = lead.facets.stat("tool").usage["cpu"].used
        lead.facets.set_quota("tool", Quota(cpu=used * 0.9))
        with pytest.raises(CpuQuota):
            await tool.count()
        clock.advance(60)
        assert await tool.count() == 1

    await run(runtime, story)
