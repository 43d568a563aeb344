"""`self.timers` inside isolates, in every language that has actors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.testing import EPOCH, VirtualClock
from facets import Actor, Limits, LocalRuntime

PYTHON = """
import asyncio
from datetime import UTC, datetime
from facets import Actor, Backoff, errors

class Tool(Actor):
    async def after(self, seconds, method, *args, **options):
        if "retry" in options:
            options["retry"] = Backoff(**options["retry"])
        return self.timers.after(seconds, method, *args, **options)
    async def by_method(self):
        self.timers.after(1, self._private, "by method")
        self.timers.at(datetime.fromtimestamp(START + 2, UTC), self.note, "at")
        self.timers.every(60, self.note, "every", name="tick")
        self.timers.cron("*/5 * * * *", self.note, "cron", tz="Europe/Berlin")
    async def schedule_and_fail(self):
        self.timers.after(1, self.note, "undone")
        raise ValueError("after scheduling")
    async def refused(self, what):
        try:
            if what == "method": self.timers.after(1, "missing")
            if what == "private": self.timers.after(1, "_missing")
            if what == "ours": self.timers.after(1, "transaction")
            if what == "cron": self.timers.cron("nonsense", self.note)
            if what == "often": self.timers.every(0.1, self.note)
            if what == "size": self.timers.after(1, self.note, "x" * 70000)
            if what == "value": self.timers.after(1, self.note, object())
        except errors.FacetsError as error:
            return type(error).__name__
    async def note(self, what):
        self.kv["notes"] = [*self.kv.get("notes", []), what]
    async def _private(self, what):
        await self.note(what)
    async def in_two_steps(self, times):
        current = self.timers.current
        self.kv["seen"] = [*self.kv.get("seen", []), [current.id, current.attempt]]
        await asyncio.sleep(0)
        self.kv["undone"] = True
        if current.attempt <= times:
            raise ValueError("in the second")
    async def current(self):
        return self.timers.current
    async def read(self, key):
        return self.kv.get(key)
    async def listed(self):
        return [[one.method, one.name, list(one.args), one.every, one.cron, one.tz,
                 one.retry.attempts] for one in self.timers.list()]
    async def dead(self):
        return [[one.id, one.error] for one in self.timers.dead()]
    async def manage(self, verb, which):
        return getattr(self.timers, verb)(which)
    async def spin(self):
        while True: pass
    async def child(self, seconds):
        await self.facets.get("below", Below).start(seconds)
    async def below(self):
        return await self.facets.get("below", Below).read()
    async def on_facet_due(self, name):
        self.kv["asked"] = name
        self.facets.get(name, Below)

class Below(Actor):
    async def start(self, seconds):
        self.timers.after(seconds, self.ring)
    async def ring(self):
        self.kv["rang"] = True
    async def read(self):
        return self.kv.get("rang")
"""
JAVASCRIPT = """
import { Actor, errors } from "facets";

export class Tool extends Actor {
  async after(seconds, method, ...args) {
    const options = args.length && typeof args.at(-1) === "object" ? args.pop() : {};
    return this.timers.after(seconds, method, args, options);
  }
  async by_method() {
    this.timers.after(1, this._private, ["by method"]);
    this.timers.at(new Date((START + 2) * 1000), this.note, ["at"]);
    this.timers.every(60, this.note, ["every"], { name: "tick" });
    this.timers.cron("*/5 * * * *", this.note, ["cron"], { tz: "Europe/Berlin" });
  }
  async schedule_and_fail() {
    this.timers.after(1, this.note, ["undone"]);
    throw new RangeError("after scheduling");
  }
  async refused(what) {
    try {
      if (what === "method") this.timers.after(1, "missing");
      if (what === "private") this.timers.after(1, "_missing");
      if (what === "ours") this.timers.after(1, "transaction");
      if (what === "cron") this.timers.cron("nonsense", this.note);
      if (what === "often") this.timers.every(0.1, this.note);
      if (what === "size") this.timers.after(1, this.note, ["x".repeat(70000)]);
      if (what === "value") this.timers.after(1, this.note, [() => {}]);
    } catch (error) {
      if (error instanceof errors.FacetsError) return error.name;
      throw error;
    }
  }
  async note(what) { this.kv.set("notes", [...this.kv.get("notes", []), what]); }
  async _private(what) { await this.note(what); }
  async in_two_steps(times) {
    const current = this.timers.current;
    this.kv.set("seen", [...this.kv.get("seen", []), [current.id, current.attempt]]);
    await new Promise((done) => setTimeout(done, 1));
    this.kv.set("undone", true);
    if (current.attempt <= times) throw new RangeError("in the second");
  }
  async current() { return this.timers.current; }
  async read(key) { return this.kv.get(key, null); }
  async listed() {
    return this.timers.list().map((one) => [one.method, one.name, one.args, one.every, one.cron,
      one.tz, one.retry.attempts]);
  }
  async dead() { return this.timers.dead().map((one) => [one.id, one.error]); }
  async manage(verb, which) { return this.timers[verb](which); }
  async spin() { for (;;); }
  async child(seconds) { await this.facets.get("below", Below).start(seconds); }
  async below() { return await this.facets.get("below", Below).read(); }
  async onFacetDue(name) {
    this.kv.set("asked", name);
    this.facets.get(name, Below);
  }
}

export class Below extends Actor {
  async start(seconds) { this.timers.after(seconds, this.ring); }
  async ring() { this.kv.set("rang", true); }
  async read() { return this.kv.get("rang", null); }
}
"""
SOURCES = {
    "python": PYTHON.replace("START", str(EPOCH)),
    "javascript": JAVASCRIPT.replace("START", str(EPOCH)),
}


class Owner(Actor, kind="IsolateTimersOwner"):
    async def tool(self, language: str, method: str, *args: Any, **kwargs: Any) -> Any:
        return await getattr(self.get(language), method)(*args, **kwargs)

    def get(self, language: str) -> Any:
        isolate = self.isolates.get(
            SOURCES[language], language=language, limits=Limits(cpu=0.5, memory=128 << 20)
        )
        return self.facets.get(language, isolate.actor("Tool"))

    async def on_facet_due(self, name: str) -> None:
        self.kv["asked"] = name
        self.get(name)

    async def read(self, key: str) -> Any:
        return self.kv.get(key)


class Tool:
    """The tool in one language, wherever it runs."""

    def __init__(self, runtime: LocalRuntime, language: str) -> None:
        self.owner = runtime.get(Owner, "a")
        self.language = language

    async def __call__(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if kwargs and self.language == "javascript":
            return await self.owner.tool(self.language, method, *args, kwargs)
        return await self.owner.tool(self.language, method, *args, **kwargs)


@pytest.fixture(params=SOURCES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def tool(runtime: LocalRuntime, language: str) -> Tool:
    return Tool(runtime, language)


async def test_code_in_an_isolate_is_called_when_it_asked_to_be(
    tool: Tool, clock: VirtualClock
) -> None:
    await tool("by_method")
    assert await tool("listed") == [
        ["_private", None, ["by method"], None, None, None, 10],
        ["note", None, ["at"], None, None, None, 10],
        ["note", "tick", ["every"], 60.0, None, None, 10],
        ["note", None, ["cron"], None, "*/5 * * * *", "Europe/Berlin", 10],
    ]
    await clock.run(130)
    assert await tool("read", "notes") == ["by method", "at", "every", "every"]
    assert await tool("manage", "cancel", "tick") is True
    await clock.run(500)
    assert await tool("read", "notes") == ["by method", "at", "every", "every", "cron", "cron"]


async def test_a_step_that_is_undone_schedules_nothing(tool: Tool, clock: VirtualClock) -> None:
    with pytest.raises(ValueError, match="after scheduling"):
        await tool("schedule_and_fail")
    await clock.run(5)
    assert await tool("listed") == []
    assert await tool("read", "notes") is None


async def test_the_last_step_takes_the_timer_along_and_a_failed_one_nothing(
    tool: Tool, clock: VirtualClock
) -> None:
    clock.patience = 5
    number = await tool("after", 1, "in_two_steps", 2, retry={"first": 1, "attempts": 2})
    await clock.run(10)
    seen = await tool("read", "seen")
    assert [attempt for _, attempt in seen] == [1, 2]
    assert len({delivery for delivery, _ in seen}) == 1
    assert await tool("read", "undone") is None
    ((dead, error),) = await tool("dead")
    assert dead == number
    assert error.endswith("in the second")
    assert await tool("manage", "revive", number) is True
    await clock.run(10)
    assert [attempt for _, attempt in await tool("read", "seen")] == [1, 2, 1, 2]
    assert await tool("manage", "forget", number) is True
    assert await tool("dead") == []
    assert await tool("current") is None


async def test_a_delivery_of_one_step_is_one_record_with_the_timers_end_in_it(
    tool: Tool, clock: VirtualClock, runtime: LocalRuntime
) -> None:
    clock.patience = 5
    await tool("after", 1, "note", "x")
    before = runtime.host.store.committed
    await clock.run(2)
    assert runtime.host.store.committed == before + 1
    assert await tool("listed") == []


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("method", "NoSuchMethod"),
        ("private", "NotCallable"),
        ("ours", "NotCallable"),
        ("cron", "BadTimer"),
        ("often", "TimerLimit"),
        ("size", "TimerLimit"),
        ("value", "NotStorable"),
    ],
)
async def test_what_cannot_be_scheduled_is_refused_by_name(
    tool: Tool, what: str, error: str
) -> None:
    assert await tool("refused", what) == error
    assert await tool("listed") == []


async def test_an_isolate_that_is_killed_in_a_delivery_has_failed_and_goes_on(
    tool: Tool, clock: VirtualClock
) -> None:
    clock.patience = 20
    await tool("after", 1, "spin", retry={"first": 1, "attempts": 1})
    await tool("after", 2, "note", "goes on")
    await clock.run(3)
    ((_, error),) = await tool("dead")
    assert error.startswith("CpuLimit")
    assert await tool("read", "notes") == ["goes on"]


async def test_a_tree_of_isolates_wakes_by_what_each_parent_says(
    state: Path, clock: VirtualClock, language: str
) -> None:
    clock.patience = 20
    async with LocalRuntime(state, clock=clock) as runtime:
        await Tool(runtime, language)("child", 100)
    clock.advance(100)
    async with LocalRuntime(state, clock=clock) as runtime:
        tool = Tool(runtime, language)
        await clock.run(1)
        assert await tool.owner.read("asked") == language
        assert await tool("read", "asked") == "below"
        assert await tool("below") is True
