"""`idempotency_key=` of code in isolates: one effect and one outcome, in every language."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest

from actors.errors import KeyReused
from actors.outcomes import Raised
from facets import Actor, Limits, LocalRuntime
from facets.errors import (
    CpuLimit,
    DatabaseCorrupt,
    GuestError,
    NotCallable,
    NotStorable,
    SqlDenied,
)
from facets.isolates.target import IsolateActor
from facets.testing import MemoryRuntime, die_everywhere

PYTHON = """
import asyncio
from facets import Actor

class Tool(Actor):
    async def add(self, amount=1):
        self.kv["sum"] = self.kv.get("sum", 0) + amount
        return self.kv["sum"]
    async def sum(self):
        return self.kv.get("sum", 0)
    async def two_steps(self):
        self.kv["begun"] = self.kv.get("begun", 0) + 1
        await asyncio.sleep(0)
        return await self.add()
    async def refuse(self):
        self.kv["tries"] = self.kv.get("tries", 0) + 1
        await asyncio.sleep(0)
        self.kv["sum"] = 99
        raise ValueError("no")
    async def tries(self):
        return self.kv.get("tries", 0)
    async def unkept(self):
        self.kv["sum"] = 99
        return self.add
    async def large(self, size):
        return "x" * size
    async def spin(self):
        self.kv["spun"] = self.kv.get("spun", 0) + 1
        await asyncio.sleep(0)
        if self.kv["spun"] == 1:
            while True: pass
        return self.kv["spun"]
    async def look(self):
        return self.sql("select * from _facets_outcomes").all()
    async def values(self):
        import datetime
        self.kv["made"] = self.kv.get("made", 0) + 1
        return [None, True, 2**70, 1.5, "x" * 2000, b"\\x00\\xff", (1, 2), {1: {2, 3}},
                datetime.date(2020, 1, 1), self.kv["made"]]
    async def forge(self, how):
        self.sql.unsafe("create table if not exists mine(number integer primary key, key text,"
                        " digest blob, at real, outcome blob)")
        self.sql.unsafe(how)
    async def lie(self):
        from isolate.storage import operate
        operate("outcome", [12345, False, "anything"])
"""
JAVASCRIPT = """
import { Actor } from "facets";
const later = () => new Promise((done) => setTimeout(done, 0));
export class Tool extends Actor {
  async add(amount = 1) {
    this.kv.set("sum", (this.kv.get("sum") ?? 0) + amount);
    return this.kv.get("sum");
  }
  async sum() { return this.kv.get("sum") ?? 0; }
  async two_steps() {
    this.kv.set("begun", (this.kv.get("begun") ?? 0) + 1);
    await later();
    return await this.add();
  }
  async refuse() {
    this.kv.set("tries", (this.kv.get("tries") ?? 0) + 1);
    await later();
    this.kv.set("sum", 99);
    throw new TypeError("no");
  }
  async tries() { return this.kv.get("tries") ?? 0; }
  async unkept() { this.kv.set("sum", 99); return () => 1; }
}
"""
SOURCES = {"python": PYTHON, "javascript": JAVASCRIPT}
RAW = bytes.fromhex("0061736d01000000010401600000030201000707010372756e00000a040102000b")
"""One function that does nothing, `run`."""


class Lead(Actor, kind="KeysLead"):
    async def use(self, language: str, method: str, *args: Any, key: str | None = None) -> Any:
        return await getattr(self._tool(language), method)(*args, idempotency_key=key)

    async def both(self, language: str) -> Any:
        tool = self._tool(language)
        return await asyncio.gather(*[tool.two_steps(idempotency_key="k") for _ in range(2)])

    async def raw(self) -> Any:
        tool = self.facets.get("raw", self.isolates.get(RAW).actor(""))
        return await tool.run(idempotency_key="k")

    def _tool(self, language: str) -> Any:
        limits = Limits(cpu=0.2, output=1 << 20)
        isolate = self.isolates.get(SOURCES[language], language=language, limits=limits)
        code: IsolateActor = isolate.actor("Tool")
        return self.facets.get(language, code)


@pytest.fixture(params=SOURCES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def lead(runtime: LocalRuntime) -> Lead:
    return runtime.get(Lead, "a")


async def test_a_call_with_a_key_runs_once_and_every_retry_gets_its_outcome(
    lead: Lead, language: str
) -> None:
    again = [await lead.use(language, "add", 5, key="k") for _ in range(3)]
    assert again == [5, 5, 5]
    assert await lead.use(language, "add", 5, key="other") == 10
    assert await lead.use(language, "add", 5, key=None) == 15
    with pytest.raises(KeyReused):
        await lead.use(language, "add", 6, key="k")
    assert await lead.use(language, "sum") == 15


async def test_the_outcome_is_in_the_commit_of_the_calls_last_step(
    runtime: LocalRuntime, lead: Lead, language: str
) -> None:
    await lead.use(language, "add", key="first")
    before = runtime.host.store.committed
    await lead.use(language, "add", key="k")
    assert runtime.host.store.committed == before + 1


async def test_an_error_is_an_outcome_too_and_has_undone_its_last_step(
    lead: Lead, language: str
) -> None:
    for _ in range(3):
        with pytest.raises(GuestError, match="no") as caught:
            await lead.use(language, "refuse", key="k")
        assert isinstance(caught.value, ValueError if language == "python" else TypeError)
    assert await lead.use(language, "tries") == 1
    assert await lead.use(language, "sum") == 0


async def test_a_result_that_cannot_be_kept_undoes_the_step_that_returns_it(
    lead: Lead, language: str
) -> None:
    for _ in range(2):
        with pytest.raises(NotStorable):
            await lead.use(language, "unkept", key="k")
    assert await lead.use(language, "sum") == 0


async def test_a_second_call_with_the_key_waits_for_the_first(lead: Lead, language: str) -> None:
    assert await lead.both(language) == [1, 1]


async def test_wherever_its_process_dies_a_call_has_one_effect(language: str) -> None:
    async def setup(runtime: MemoryRuntime) -> None:
        await runtime.get(Lead, "a").use(language, "sum")

    async def act(runtime: MemoryRuntime) -> None:
        await runtime.get(Lead, "a").use(language, "two_steps", key="k")

    async def check(runtime: MemoryRuntime) -> None:
        lead = runtime.get(Lead, "a")
        for _ in range(2):
            assert await lead.use(language, "two_steps", key="k") == 1
        assert await lead.use(language, "sum") == 1

    assert await die_everywhere(setup, act, check) > 2


async def test_nothing_is_kept_of_a_call_whose_sandbox_was_killed(lead: Lead) -> None:
    with pytest.raises(CpuLimit):
        await lead.use("python", "spin", key="k")
    for _ in range(2):
        assert await lead.use("python", "spin", key="k") == 2


async def test_the_newest_64_outcomes_are_kept_and_no_more_than_256_kib_of_them(
    runtime: LocalRuntime, lead: Lead
) -> None:
    for number in range(66):
        await lead.use("python", "add", key=str(number))
    assert await lead.use("python", "add", key="2") == 3
    assert await lead.use("python", "add", key="1") == 67  # forgotten: it runs again
    for number in range(4):
        await lead.use("python", "large", 100_000, key=f"large {number}")
    root = runtime.host.store.root("KeysLead", "a")
    kept = root.child("python").peek("select sum(length(outcome)) from _facets_outcomes")
    assert 300_000 < kept[0][0] < 100_000 + (256 << 10)


async def test_a_guest_cannot_read_outcomes_nor_say_one_of_a_call_that_is_not(lead: Lead) -> None:
    await lead.use("python", "add", key="k")
    with pytest.raises(GuestError, match="_facets_outcomes"):
        await lead.use("python", "look")
    with pytest.raises(ValueError, match="an outcome of no call"):
        await lead.use("python", "lie")
    assert await lead.use("python", "add", key="k") == 1


async def test_what_is_kept_is_the_value_that_was_returned(lead: Lead) -> None:
    first = await lead.use("python", "values", key="k")
    assert await lead.use("python", "values", key="k") == first
    assert (first[5], first[6], first[7], first[-1]) == (b"\x00\xff", (1, 2), {1: {2, 3}}, 1)


@pytest.mark.parametrize(
    "how",
    [
        "alter table mine rename to _facets_outcomes",
        "insert into _facets_outcomes(key) values ('k')",
        "create table _facets_outcomes(key)",
        "create view _facets_outcomes as select * from mine",
        "create trigger t after insert on mine begin delete from _facets_outcomes; end",
    ],
)
async def test_a_guest_cannot_write_outcomes(lead: Lead, how: str) -> None:
    if how.startswith("insert"):
        await lead.use("python", "add", key="k")
    with pytest.raises(SqlDenied):
        await lead.use("python", "forge", how)


async def test_nothing_that_an_isolate_kept_is_ever_unpickled(
    runtime: LocalRuntime, lead: Lead
) -> None:
    await lead.use("python", "add", key="k")
    kept = runtime.host.store.root("KeysLead", "a").child("python")
    ((outcome,),) = kept.peek("select outcome from _facets_outcomes")
    assert outcome == b"[false,1]"
    kept.peek("update _facets_outcomes set outcome = ?", (pickle.dumps(Raised(ValueError())),))
    with pytest.raises(DatabaseCorrupt):
        await lead.use("python", "add", key="k")


async def test_raw_webassembly_keeps_no_outcomes(lead: Lead) -> None:
    with pytest.raises(NotCallable, match="keeps no outcomes"):
        await lead.raw()
