"""An agent with extensions and code mode on a cluster: both go on where its host went."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from actors.ray.runtime import RayRuntime
from facets.agents import Agent
from facets.codemode import Allow, Ask, CodeMode, FunctionConnector
from facets.extensions import Extensions
from tests.actors.ray.conftest import ray as ray
from tests.facets.agents.test_turns import call, script
from tests.facets.extensions.test_life import COUNTER, MANIFEST, approve

pytestmark = pytest.mark.timeout(180)
CODE = "first = await bank.pay(amount=1)\nreturn [first, await bank.pay(amount=200)]"


class Clerk(Agent, kind="RayClerk"):
    model = script(
        [call("propose_extension", {"manifest": MANIFEST, "source": COUNTER})],
        [call("counter__count", {"word": "ink"})],
        "counted",
    )
    extensions: Extensions

    async def on_start(self) -> None:
        self.extensions = Extensions(self, consent=approve)
        rules = [Ask("bank.pay", when=lambda given: given["amount"] > 100), Allow()]
        self.code = CodeMode(self, [FunctionConnector("bank", [self.pay])], rules=rules)
        await self.extensions.resume()

    async def pay(self, amount: int) -> str:
        """Pay so much."""
        self.kv["paid"] = [*self.kv.get("paid", []), amount]
        return f"{amount} paid"

    async def execute(self) -> str:
        return (await self.code.execute(CODE)).status

    async def approve_all(self) -> Any:
        (waiting,) = self.code.pending()
        return (await self.code.approve(waiting.id)).result

    async def count(self) -> int:
        return int(await self.extensions.call("counter", "count", word="ink"))

    async def look(self) -> tuple[int, list[str], list[int]]:
        versions = [one.version for one in self.extensions.list()]
        return os.getpid(), versions, self.kv.get("paid", [])

    async def back(self) -> str:
        await self.extensions.propose(MANIFEST | {"version": "2"}, COUNTER + "\n")
        await self.count()
        return (await self.extensions.rollback("counter")).version


async def test_what_an_agent_has_taken_on_moves_to_another_host_with_its_data(
    ray: Any, tmp_path: Path
) -> None:
    async with RayRuntime(tmp_path / "state", hosts=1) as runtime:
        clerk = runtime.get(Clerk, "alice")
        assert await clerk.run("count ink") == "counted"
        assert await clerk.execute() == "paused"
        first, _, _ = await clerk.look()
        await runtime.scale(2)
        await runtime.drain("host-0")
        second, versions, paid = await clerk.look()
        assert (second != first, versions, paid) == (True, ["1"], [1])
        assert await clerk.count() == 2
        assert await clerk.approve_all() == ["1 paid", "200 paid"]
        assert (await clerk.look())[2] == [1, 200]
        assert await clerk.back() == "1"
        assert await clerk.count() == 3
        await runtime.down()
