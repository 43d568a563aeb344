"""The life of an extension against a model: what runs, with which data, whatever comes between."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from facets.errors import ExtensionDisabled, NoSuchExtension
from facets.extensions import no_wider
from facets.testing import MemoryRuntime
from tests.facets.extensions.test_life import COUNTER, Lead, run, upgraded

Story = Callable[[Lead], Awaitable[Any]]
SOURCES = {
    1: COUNTER,
    10: COUNTER.replace("+ 1", "+ 10").replace("== 1", "== 10").replace("== 2", "== 20"),
}
SLY = COUNTER + (
    "\n    async def on_start(self):\n"
    "        if self.name == 'extension counter': raise ValueError('surprise')\n"
)


@dataclass
class Version:
    """One version, as the model knows it."""

    number: str
    files: bool = False
    adds: int = 1
    state: str = "active"
    activated: int = 0
    data: int = 0
    """What was counted when it took over."""


@dataclass
class Model:
    versions: list[Version] = field(default_factory=list)
    data: int = 0
    clock: int = 0
    disabled: bool = False

    @property
    def active(self) -> Version | None:
        return next((one for one in self.versions if one.state == "active"), None)

    @property
    def before(self) -> Version | None:
        retired = [one for one in self.versions if one.state == "retired" and one.activated]
        return max(retired, key=lambda one: one.activated, default=None)

    def widens(self, new: Version) -> bool:
        return self.active is None or new.files > self.active.files

    def activate(self, new: Version) -> None:
        if (running := self.active) is not None:
            running.state = "retired"
        self.clock += 1
        new.state, new.activated, new.data = "active", self.clock, self.data
        self.disabled = False


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.runtime = MemoryRuntime()
        self.loop.run_until_complete(self.runtime.open())
        self.model = Model()

    def teardown(self) -> None:
        self.loop.run_until_complete(self.runtime.close())
        self.loop.close()

    def do(self, story: Story) -> Any:
        async def named(lead: Lead) -> Any:
            return await story(lead)

        return self.loop.run_until_complete(run(self.runtime, named, consent=no_wider))

    def propose(self, version: Version, source: str) -> str:
        permissions = {"files": "read"} if version.files else {}
        manifest = upgraded(version.number, **permissions)
        self.model.versions.append(version)

        async def story(lead: Lead) -> str:
            return (await lead.extensions.propose(manifest, source)).state

        return str(self.do(story))

    def next(self, **fields: Any) -> Version:
        return Version(str(len(self.model.versions)), **fields)

    @rule(files=st.booleans(), adds=st.sampled_from([1, 10]))
    def propose_good(self, files: bool, adds: int) -> None:
        new = self.next(files=files, adds=adds)
        waits = self.model.widens(new)
        assert self.propose(new, SOURCES[adds]) == ("pending" if waits else "active")
        if waits:
            new.state = "pending"
        else:
            self.model.activate(new)

    @rule()
    def propose_one_whose_test_fails(self) -> None:
        bad = COUNTER.replace("== 2", "== 3")
        assert self.propose(self.next(state="refused"), bad) == "refused"

    @rule()
    def propose_one_that_breaks_when_it_takes_over(self) -> None:
        sly = self.next(state="failed")
        if self.model.widens(sly):
            sly.state, sly.adds = "pending", 0
        assert self.propose(sly, SLY) == sly.state

    @rule(data=st.data(), yes=st.booleans())
    def decide(self, data: st.DataObject, yes: bool) -> None:
        waiting = [one for one in self.model.versions if one.state == "pending"]
        if not waiting:
            return
        chosen = data.draw(st.sampled_from(waiting))

        async def story(lead: Lead) -> str:
            if not yes:
                return lead.extensions.reject("counter", chosen.number).state
            return (await lead.extensions.approve("counter", chosen.number)).state

        state = self.do(story)
        if not yes:
            chosen.state = "rejected"
        elif chosen.adds == 0:
            chosen.state = "failed"
        else:
            self.model.activate(chosen)
        assert state == chosen.state

    @rule()
    def roll_back(self) -> None:
        running, before = self.model.active, self.model.before

        async def story(lead: Lead) -> str:
            try:
                return (await lead.extensions.rollback("counter")).state
            except NoSuchExtension:
                return ""

        state = self.do(story)
        if running is None or before is None:
            assert state == ""
        elif before.files > running.files:
            assert state == "pending"
            before.state = "pending"
        else:
            assert state == "active"
            running.state, running.activated, before.state = "retired", 0, "active"
            self.model.data = running.data
            self.model.disabled = False

    @rule(keep_data=st.booleans())
    def remove(self, keep_data: bool) -> None:
        if self.model.active is None:
            return

        async def story(lead: Lead) -> None:
            await lead.extensions.remove("counter", keep_data=keep_data)

        self.do(story)
        self.model.active.state = "retired"
        for one in self.model.versions:
            one.activated = 0
        self.model.disabled = False
        self.model.data = self.model.data if keep_data else 0

    @rule(on=st.booleans())
    def switch(self, on: bool) -> None:
        if self.model.active is None:
            return

        async def story(lead: Lead) -> None:
            ours = lead.extensions
            ours.enable("counter") if on else ours.disable("counter")

        self.do(story)
        self.model.disabled = not on

    @rule()
    def count(self) -> None:
        async def story(lead: Lead) -> int:
            try:
                return int(await lead.extensions.call("counter", "count", word="x"))
            except NoSuchExtension:
                return -1
            except ExtensionDisabled:
                return -2

        counted = self.do(story)
        if self.model.active is None:
            assert counted == -1
        elif self.model.disabled:
            assert counted == -2
        else:
            self.model.data += self.model.active.adds
            assert counted == self.model.data

    @rule()
    def die(self) -> None:
        self.loop.run_until_complete(self.runtime.crash())

        async def story(lead: Lead) -> int:
            return len(await lead.extensions.resume())

        assert self.do(story) == 0

    @invariant()
    def what_runs_is_what_the_model_says(self) -> None:
        async def story(lead: Lead) -> Any:
            ours = lead.extensions
            states = [(one.version, one.state) for one in ours.versions("counter")]
            return states, [one.version for one in ours.list()], len(ours.tools())

        states, active, tools = self.do(story)
        assert states == [(one.number, one.state) for one in self.model.versions]
        running = self.model.active
        assert active == ([] if running is None else [running.number])
        assert tools == (running is not None and not self.model.disabled)


@pytest.mark.filterwarnings("ignore:coroutine 'IsolateActor.open' was never awaited")
def test_the_life_of_an_extension_is_as_the_model_says() -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=int(os.environ.get("FACETS_EXTENSION_LIVES", "10")),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
