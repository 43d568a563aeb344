"""`self.meters` inside isolates, in every language that has actors."""

from __future__ import annotations

import math
from typing import Any

import pytest

from facets import Actor, LocalRuntime, Quota, Start
from facets.errors import BytesQuota, GuestError, MeterQuota

PYTHON = """
from facets import Actor, errors
from isolate.storage import operate

class Tool(Actor):
    async def spend(self, meter, amount):
        self.meters.spend(meter, amount)
        return self.meters.left(meter)
    async def spend_and_fail(self, meter, amount):
        self.meters.spend(meter, amount)
        raise ValueError("after it was spent")
    async def spend_below(self, meter, amount):
        return await self.facets.get("below", Tool).spend(meter, amount)
    async def refused(self, meter, amount):
        try:
            self.meters.spend(meter, amount)
        except errors.MeterQuota as error:
            return [type(error).__name__, error.used]
    async def reserve(self, meter, amount, used):
        with self.meters.reserve(meter, amount) as held:
            held.settle(used)
        return self.meters.left(meter)
    async def cheat(self, what):
        number = operate("meters", ["hold", "usd", 1])
        if what == "twice":
            operate("meters", ["settle", number, "usd", 0])
            operate("meters", ["settle", number, "usd", 0])
        if what == "other number":
            operate("meters", ["settle", number + 1, "usd", 0])
        if what == "other meter":
            operate("meters", ["settle", number, "tokens", 0])
        if what == "negative":
            operate("meters", ["spend", "usd", -5])
        if what == "other verb":
            operate("meters", ["_spend", "usd", -5])
        if what == "inward":
            operate("meters", ["over"])
    async def keep(self, size):
        self.kv["data"] = b"x" * size
"""
JAVASCRIPT = """
import { Actor, errors } from "facets";
export class Tool extends Actor {
  async spend(meter, amount) {
    this.meters.spend(meter, amount);
    return this.meters.left(meter);
  }
  async spend_and_fail(meter, amount) {
    this.meters.spend(meter, amount);
    throw new errors.ValueError("after it was spent");
  }
  async spend_below(meter, amount) {
    return await this.facets.get("below", Tool).spend(meter, amount);
  }
  async refused(meter, amount) {
    try {
      this.meters.spend(meter, amount);
    } catch (error) {
      if (error instanceof errors.MeterQuota) return [error.name, error.fields.used];
      throw error;
    }
  }
  async reserve(meter, amount, used) {
    this.meters.reserve(meter, amount).settle(used);
    return this.meters.left(meter);
  }
  async keep(size) { this.kv.set("data", new Uint8Array(size)); }
}
"""
QUOTA = Quota(bytes=300_000, meters={"usd": 10, "tokens": 100})
SCRIPTS: dict[str, Any] = {}


class Lead(Actor):
    async def do(self, script: str, source: str, language: str) -> Any:
        isolate = self.isolates.get(source, language=language)
        start = Start(isolate.actor("Tool"), quota=QUOTA)
        return await SCRIPTS[script](self, self.facets.get("tool", start))


async def run(runtime: LocalRuntime, function: Any, language: str) -> None:
    SCRIPTS[function.__name__] = function
    source = PYTHON if language == "python" else JAVASCRIPT
    await runtime.get(Lead, "a").do(function.__name__, source, language)


LANGUAGES = pytest.mark.parametrize("language", ["python", "javascript"])


@LANGUAGES
async def test_a_guest_spends_under_its_quota_and_those_above(
    runtime: LocalRuntime, language: str
) -> None:
    async def story(lead: Lead, tool: Any) -> None:
        assert await tool.spend("usd", 2.5) == 7.5
        assert await tool.spend("hours", 1) == math.inf
        with pytest.raises(GuestError, match="spent"):
            await tool.spend_and_fail("usd", 5)
        assert await tool.spend_below("usd", 5) == 2.5
        assert await tool.refused("usd", 3) == ["MeterQuota", 7.5]
        with pytest.raises(MeterQuota):
            await tool.spend("usd", 3)
        assert lead.facets.stat("tool").usage["usd"] == (7.5, 10)

    await run(runtime, story, language)


@LANGUAGES
async def test_a_guest_reserves_and_settles(runtime: LocalRuntime, language: str) -> None:
    async def story(lead: Lead, tool: Any) -> None:
        assert await tool.reserve("tokens", 80, 30) == 70
        assert await tool.reserve("tokens", 70, 0) == 70

    await run(runtime, story, language)


@LANGUAGES
async def test_a_guest_that_stores_too_much_loses_the_step(
    runtime: LocalRuntime, language: str
) -> None:
    async def story(lead: Lead, tool: Any) -> None:
        with pytest.raises(BytesQuota):
            await tool.keep(400_000)
        await tool.keep(100_000)

    await run(runtime, story, language)


@pytest.mark.parametrize(
    "what", ["twice", "other number", "other meter", "negative", "other verb", "inward"]
)
async def test_a_guest_gets_back_no_more_than_it_reserved(runtime: LocalRuntime, what: str) -> None:
    async def story(lead: Lead, tool: Any) -> None:
        with pytest.raises(GuestError):
            await tool.cheat(what)
        assert lead.facets.stat("tool").usage["usd"].used == 0
        assert await tool.spend("usd", 1) == 9

    await run(runtime, story, "python")
