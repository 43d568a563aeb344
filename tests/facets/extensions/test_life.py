"""An extension from its proposal to its end: what is promised at each stage."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from actors.testing import EPOCH, VirtualClock
from facets import Actor, LocalRuntime
from facets.errors import KeyReused
from facets.extensions import Extensions, Grants, Proposal, ask, no_wider
from facets.extensions.errors import BadManifest, NoSuchExtension, NotPending, VersionTaken

COUNTER = """
from facets import Actor

class Extension(Actor):
    async def count(self, word: str):
        self.kv[word] = self.kv.get(word, 0) + 1
        return self.kv[word]

    async def test_counts(self):
        assert await self.count("a") == 1
        assert await self.count("a") == 2
"""
MANIFEST: dict[str, Any] = {
    "name": "counter",
    "version": "1",
    "permissions": {"storage": 1 << 20},
    "tools": [
        {
            "name": "count",
            "description": "Count a word.",
            "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
        }
    ],
}
Story = Callable[["Lead"], Awaitable[Any]]
STORIES: dict[str, Story] = {}
OPTIONS: dict[str, Any] = {}


class Lead(Actor):
    async def on_start(self) -> None:
        self.extensions = Extensions(self, **OPTIONS)

    async def on_facet_due(self, name: str) -> None:
        self.extensions.due(name)

    async def do(self, story: str) -> Any:
        return await STORIES[story](self)


async def run(runtime: LocalRuntime, story: Story, **options: Any) -> Any:
    OPTIONS.clear()
    OPTIONS.update(options)
    STORIES[story.__name__] = story
    return await runtime.get(Lead, "a").do(story.__name__)


def approve(proposal: Proposal) -> str:
    del proposal
    return "approve"


def upgraded(version: str, **permissions: Any) -> dict[str, Any]:
    return MANIFEST | {
        "version": version,
        "permissions": MANIFEST["permissions"] | permissions,
    }


async def test_what_is_approved_runs_with_data_of_its_own_and_survives_a_restart(
    state: Path,
) -> None:
    async def first(lead: Lead) -> list[Any]:
        proposal = await lead.extensions.propose(MANIFEST, COUNTER)
        counted = await lead.extensions.call("counter", "count", word="x")
        return [proposal.state, proposal.tests[0].what, counted, "x" in lead.kv]

    async def again(lead: Lead) -> list[Any]:
        (tool,) = lead.extensions.tools()
        return [tool.name, await tool.call(word="x"), lead.extensions.list()[0].version]

    async with LocalRuntime(state) as runtime:
        assert await run(runtime, first, consent=approve) == ["active", "test_counts", 1, False]
    async with LocalRuntime(state) as runtime:
        assert await run(runtime, again) == ["counter__count", 2, "1"]


async def test_without_a_policy_somebody_decides_and_sees_what_changes(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        ours = lead.extensions
        assert (await ours.propose(MANIFEST, COUNTER)).state == "pending"
        with pytest.raises(NoSuchExtension):
            await ours.call("counter", "count", word="x")
        (waiting,) = ours.pending()
        assert [str(one) for one in waiting.changes] == ["+ storage: 0 bytes -> 1048576 bytes"]
        assert (await ours.approve("counter", "1")).state == "active"
        assert await ours.call("counter", "count", word="x") == 1
        with pytest.raises(NotPending):
            await ours.approve("counter", "1")
        await ours.propose(upgraded("2"), COUNTER)
        assert ours.reject("counter", "2", "no need").state == "rejected"
        assert [event.what for event in ours.history("counter")] == [
            "proposed", "consent: ask", "approved", "activating", "activated",
            "proposed", "consent: ask", "rejected",
        ]  # fmt: skip

    await run(runtime, story, consent=ask)


async def test_an_upgrade_that_widens_waits_and_one_that_does_not_runs_at_once(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        ours = lead.extensions
        await ours.propose(MANIFEST, COUNTER)
        await ours.approve("counter", "1")
        assert await ours.call("counter", "count", word="x") == 1
        better = COUNTER.replace("+ 1", "+ 10").replace("== 1", "== 10").replace("== 2", "== 20")
        assert (await ours.propose(upgraded("2"), better)).state == "active"
        assert await ours.call("counter", "count", word="x") == 11
        wider = await ours.propose(upgraded("3", files="read"), better)
        assert (wider.state, wider.running, wider.widens) == ("pending", "2", True)
        assert wider.unused == ("files",)

    await run(runtime, story, consent=no_wider)


async def test_rollback_brings_back_the_version_before_with_its_data(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        ours = lead.extensions
        await ours.propose(MANIFEST, COUNTER)
        await ours.call("counter", "count", word="x")
        await ours.propose(upgraded("2"), COUNTER.replace("+ 1", "+ 1 + 0"))
        assert await ours.call("counter", "count", word="x") == 2
        assert (await ours.rollback("counter")).version == "1"
        assert await ours.call("counter", "count", word="x") == 2
        assert [one.state for one in ours.versions("counter")] == ["active", "retired"]
        with pytest.raises(NoSuchExtension):
            await ours.rollback("counter")

    await run(runtime, story, consent=approve)


async def test_a_rollback_that_keeps_the_data_goes_on_with_what_was_written(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        ours = lead.extensions
        await ours.propose(MANIFEST, COUNTER)
        await ours.propose(upgraded("2"), COUNTER + "\n")
        await ours.call("counter", "count", word="x")
        await ours.rollback("counter", keep_data=True)
        assert await ours.call("counter", "count", word="x") == 2

    await run(runtime, story, consent=approve)


async def test_a_rollback_to_more_permissions_needs_consent_again(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        ours = lead.extensions
        await ours.propose(upgraded("1", files="read"), COUNTER)
        await ours.approve("counter", "1")
        await ours.propose(upgraded("2"), COUNTER)
        assert (await ours.rollback("counter")).state == "pending"
        assert ours.list()[0].version == "2"
        assert (await ours.approve("counter", "1")).state == "active"
        assert [one.version for one in ours.list()] == ["1"]

    await run(runtime, story, consent=no_wider)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("def broken(:", "SyntaxError"),
        ("x = 1", "no class Extension"),
        (COUNTER.replace("async def count", "async def other"), "no such async method"),
        (COUNTER.replace("== 2", "== 3"), "test_counts: AssertionError"),
        (COUNTER + "\nraise RuntimeError('at load')\n", "at load"),
        (COUNTER.replace("word: str", "text"), "no parameter 'word'"),
        (COUNTER.replace("return", "self.env['files'].read('/a'); return"), "files is none"),
        (COUNTER + "\nimport urllib.request\n", "names no host"),
        (COUNTER.replace("self.kv.get(word, 0)", "self.env[word]"), "not written out"),
    ],
)
async def test_what_does_not_pass_its_check_is_refused_and_says_why(
    runtime: LocalRuntime, source: str, problem: str
) -> None:
    async def story(lead: Lead) -> Proposal:
        return await lead.extensions.propose(MANIFEST, source)

    proposal = await run(runtime, story, consent=approve)
    assert proposal.state == "refused"
    assert problem in "; ".join(proposal.problems)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Bad Name"},
        {"permissions": {"files": "write"}},
        {"permissions": {"network": ["https://a.test/"]}},
        {"permissions": {"root": True}},
        {"tools": [{"name": "on_start"}]},
        {"hooks": [{"event": "count"}], "tools": [{"name": "count"}]},
        {"extra": 1},
    ],
)
async def test_a_manifest_that_is_not_one_is_refused_with_the_place(
    runtime: LocalRuntime, wrong: dict[str, Any]
) -> None:
    async def story(lead: Lead) -> None:
        with pytest.raises(BadManifest):
            await lead.extensions.propose(MANIFEST | wrong, COUNTER)

    await run(runtime, story)


async def test_a_version_is_never_changed(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        first = await lead.extensions.propose(MANIFEST, COUNTER)
        assert await lead.extensions.propose(MANIFEST, COUNTER) == first
        with pytest.raises(VersionTaken):
            await lead.extensions.propose(MANIFEST, COUNTER + "\n")

    await run(runtime, story, consent=approve)


async def test_an_upgrade_that_fails_on_a_copy_of_the_data_changes_nothing(
    runtime: LocalRuntime,
) -> None:
    bad = COUNTER.replace(
        "self.kv.get(word, 0) + 1", "self.kv.get(word, 0) + 1 if word != 'x' else 1 / 0"
    )

    async def story(lead: Lead) -> None:
        ours = lead.extensions
        await ours.propose(MANIFEST, COUNTER)
        await ours.call("counter", "count", word="x")
        failed = await ours.propose(upgraded("2"), bad)
        assert failed.state == "failed"
        assert "ZeroDivisionError" in failed.problems[0]
        assert await ours.call("counter", "count", word="x") == 2
        assert lead.facets.list() == ["extension counter"]

    await run(runtime, story, consent=approve)


async def test_grants_are_the_most_that_a_manifest_can_get(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        found = await lead.extensions.propose(upgraded("1", offers=["posts"]), COUNTER)
        assert (found.state, found.problems) == ("refused", ("there is no 'posts' to be had",))

    await run(runtime, story, consent=approve, grants=Grants())


async def test_a_rollback_to_a_version_that_never_wrote_leaves_nothing(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        ours = lead.extensions
        await ours.propose(MANIFEST, COUNTER)
        await ours.propose(upgraded("2"), COUNTER + "\n")
        await ours.call("counter", "count", word="x")
        await ours.rollback("counter")
        assert await ours.call("counter", "count", word="x") == 1

    await run(runtime, story, consent=approve)


async def test_what_is_removed_leaves_its_history_and_no_data(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        ours = lead.extensions
        await ours.propose(MANIFEST, COUNTER)
        await ours.propose(upgraded("2"), COUNTER + "\n")
        await ours.call("counter", "count", word="x")
        await ours.remove("counter")
        assert (ours.list(), ours.tools(), lead.facets.list()) == ([], [], [])
        for use in (ours.rollback("counter"), ours.remove("counter")):
            with pytest.raises(NoSuchExtension):
                await use
        assert ours.history("counter")[-1].what == "removed"
        await ours.propose(upgraded("3"), COUNTER)
        assert await ours.call("counter", "count", word="x") == 1

    await run(runtime, story, consent=approve)


async def test_a_timer_of_an_extension_wakes_it_in_the_next_life(state: Path) -> None:
    timed = """
from facets import Actor

class Extension(Actor):
    async def later(self): self.timers.after(60, self.ring)
    async def ring(self): self.kv["rung"] = True
    async def rung(self): return self.kv.get("rung", False)
"""
    manifest = MANIFEST | {"tools": [{"name": "later"}, {"name": "rung"}]}

    async def setup(lead: Lead) -> None:
        assert (await lead.extensions.propose(manifest, timed)).problems == ()
        await lead.extensions.call("counter", "later")

    async def rung(lead: Lead) -> Any:
        return await lead.extensions.call("counter", "rung")

    async with LocalRuntime(state, clock=VirtualClock()) as runtime:
        await run(runtime, setup, consent=approve)
    clock = VirtualClock(now=EPOCH + 61)
    async with LocalRuntime(state, clock=clock) as runtime:
        runtime.register(Lead)
        await clock.run(1)
        assert await run(runtime, rung)


async def test_a_call_with_a_key_has_one_effect_also_where_little_may_be_stored(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        ours = lead.extensions
        proposal = await ours.propose(upgraded("1", storage=64 << 10), COUNTER)
        assert proposal.problems == ()
        for number in range(70):
            key = f"call {number}"
            for _ in range(2):
                found = await ours.call("counter", "count", word="x", idempotency_key=key)
                assert found == number + 1
        with pytest.raises(KeyReused):
            await ours.call("counter", "count", word="y", idempotency_key="call 69")

    await run(runtime, story, consent=approve)


async def test_what_is_active_is_found_without_reading_all_versions(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        records, said = lead.extensions.records, []
        sql = records._sql
        records._sql = lambda *asked: said.append(asked) or []  # type: ignore[assignment]
        for asked in ({"state": "active"}, {"state": "active", "name": "counter"}):
            records.proposals(**asked)
            query, *args = said.pop()
            plan = str(sql.unsafe(f"explain query plan {query}", *args).all())
            assert "extension_versions_state" in plan
        records._sql = sql

    await run(runtime, story, consent=approve)
