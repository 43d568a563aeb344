"""The life of an extension against a model: what runs, with which data, whatever comes between."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

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
    def pending(self) -> list[Version]:
        return [one for one in self.versions if one.state == "pending"]

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

    @initialize()
    def begin(self) -> None:
        self.propose_something("good", False, 1)
        self.decide(self.model.versions[0], yes=True)

    @rule(
        kind=st.sampled_from(["good", "good", "good", "bad", "sly"]),
        files=st.booleans(),
        adds=st.sampled_from([1, 10]),
    )
    def propose_something(self, kind: str, files: bool, adds: int) -> None:
        new = Version(str(len(self.model.versions)), files, adds)
        if kind == "bad":
            new.state = "refused"
        elif self.model.widens(new):
            new.state, new.adds = "pending", adds if kind == "good" else 0
        elif kind == "sly":
            new.state = "failed"
        source = {"good": SOURCES[adds], "bad": COUNTER.replace("== 2", "== 3"), "sly": SLY}
        assert self.propose(new, source[kind]) == new.state
        if new.state == "active":
            self.model.versions.remove(new)  # it is not yet, for the model
            self.model.activate(new)
            self.model.versions.append(new)

    @precondition(lambda self: self.model.pending)
    @rule(data=st.data())
    def approve(self, data: st.DataObject) -> None:
        self.decide(data.draw(st.sampled_from(self.model.pending)), yes=True)

    @precondition(lambda self: self.model.pending)
    @rule(data=st.data())
    def reject(self, data: st.DataObject) -> None:
        self.decide(data.draw(st.sampled_from(self.model.pending)), yes=False)

    def decide(self, chosen: Version, *, yes: bool) -> None:
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

    @precondition(lambda self: self.model.active and self.model.before)
    @rule()
    def roll_back(self) -> None:
        running, before = self.model.active, self.model.before

        assert running is not None
        assert before is not None

        async def story(lead: Lead) -> str:
            return (await lead.extensions.rollback("counter")).state

        state = self.do(story)
        if before.files > running.files:
            assert state == "pending"
            before.state = "pending"
        else:
            assert state == "active"
            running.state, running.activated, before.state = "retired", 0, "active"
            self.model.data = running.data
            self.model.disabled = False

    @precondition(lambda self: self.model.active)
    @rule(keep_data=st.booleans())
    def remove(self, keep_data: bool) -> None:
        async def story(lead: Lead) -> None:
            await lead.extensions.remove("counter", keep_data=keep_data)

        self.do(story)
        assert self.model.active is not None
        self.model.active.state = "retired"
        for one in self.model.versions:
            one.activated = 0
        self.model.disabled = False
        self.model.data = self.model.data if keep_data else 0

    @precondition(lambda self: self.model.active)
    @rule(on=st.booleans())
    def switch(self, on: bool) -> None:
        async def story(lead: Lead) -> None:
            ours = lead.extensions
            ours.enable("counter") if on else ours.disable("counter")

        self.do(story)
        self.model.disabled = not on

    @precondition(lambda self: self.model.active)
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
            phases=[Phase.generate],  # each life takes a second: too long to make one shorter
            suppress_health_check=list(HealthCheck),
        ),
    )
