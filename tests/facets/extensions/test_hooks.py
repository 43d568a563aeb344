"""Events pass through those who hear them, in order, and none can break the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import facets
from facets import LocalRuntime
from facets.errors import DeadlineExceeded, ExtensionDisabled
from tests.facets.extensions.test_life import Lead, approve, run

SOURCE = """
from facets import Actor

class Extension(Actor):
    async def said(self, text):
        BODY
    async def ping(self): return "pong"
"""


async def hears(lead: Lead, name: str, body: str, **hook: Any) -> None:
    manifest = {"name": name, "version": "1", "tools": [{"name": "ping"}],
                "hooks": [{"event": "said"} | hook]}  # fmt: skip
    proposal = await lead.extensions.propose(manifest, SOURCE.replace("BODY", body))
    assert proposal.state == "active", proposal.problems


async def test_lower_priority_runs_first_and_names_decide_between_equals(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        await hears(lead, "late", "return text + ' late'", priority=9)
        await hears(lead, "b", "return text + ' b'")
        await hears(lead, "a", "return text + ' a'")
        await hears(lead, "early", "return text + ' early'", priority=-1)
        await hears(lead, "silent", "pass", priority=5)
        assert await lead.extensions.emit("said", "hello") == "hello early a b late"
        assert await lead.extensions.emit("heard by nobody", 1) == 1

    await run(runtime, story, consent=approve)


async def test_strikes_count_in_a_row_and_one_that_goes_well_forgives_them(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        await hears(lead, "moody", "assert text != 'bad'")
        for text in ("bad", "good", "bad", "good"):
            assert await lead.extensions.emit("said", text) == text
        assert await lead.extensions.call("moody", "ping") == "pong"
        for _ in range(2):
            await lead.extensions.emit("said", "bad")
        with pytest.raises(ExtensionDisabled, match="2 failures in a row, the last in said"):
            await lead.extensions.call("moody", "ping")
        assert lead.extensions.tools() == []
        lead.extensions.enable("moody")
        assert await lead.extensions.call("moody", "ping") == "pong"

    await run(runtime, story, consent=approve, strikes=2)


async def test_strikes_stay_when_the_call_that_they_came_in_raises(runtime: LocalRuntime) -> None:
    async def setup(lead: Lead) -> None:
        await hears(lead, "broken", "return 1")

    async def story(lead: Lead) -> None:
        await lead.extensions.emit("said", "x")
        raise RuntimeError

    async def after(lead: Lead) -> str:
        return lead.extensions.records.disabled("broken")

    await run(runtime, setup, consent=approve, strikes=1)
    with pytest.raises(RuntimeError):
        await run(runtime, story)
    assert "1 failures in a row" in await run(runtime, after)


async def test_the_time_of_the_caller_is_no_strike(state: Path) -> None:
    async def story(lead: Lead) -> None:
        await hears(lead, "slow", "import asyncio; await asyncio.sleep(100)", seconds=60)
        with pytest.raises(DeadlineExceeded), facets.deadline(0.05):
            await lead.extensions.emit("said", "x")
        assert [one.what for one in lead.extensions.history("slow")][-1] == "activated"

    async with LocalRuntime(state) as runtime:
        await run(runtime, story, consent=approve)
