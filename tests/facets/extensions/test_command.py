"""`facets extensions` tells what extends an actor, without its code."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner, Result

from facets import LocalRuntime
from facets.cli import app
from facets.extensions import no_wider
from tests.facets.extensions.test_life import COUNTER, MANIFEST, Lead, run, upgraded


def said(*args: object) -> Result:
    return CliRunner().invoke(app, ["extensions", *map(str, args)])


async def prepare(lead: Lead) -> None:
    await lead.extensions.propose(MANIFEST, COUNTER)
    await lead.extensions.approve("counter", "1")
    await lead.extensions.propose(upgraded("2", files="read"), COUNTER)
    await lead.extensions.propose(MANIFEST | {"name": "broken"}, "def (")


async def test_it_lists_versions_and_of_one_what_it_may_and_what_happened(state: Path) -> None:
    async with LocalRuntime(state) as runtime:
        await run(runtime, prepare, consent=no_wider)
    listed = said(state, "Lead", "a").stdout.splitlines()
    assert [line.split("  ")[:2] for line in listed] == [
        ["broken 1", "refused"],
        ["counter 1", "active"],
        ["counter 2", "pending"],
    ]
    told = said(state, "Lead", "a", "counter").stdout
    assert "  + files: none -> read\n" in told
    assert "consent: ask" in told
    assert "broken" not in told
    assert "problem: SyntaxError" in said(state, "Lead", "a", "broken").stdout


async def test_it_says_so_where_there_is_none(state: Path) -> None:
    async with LocalRuntime(state) as runtime:
        await run(runtime, prepare, consent=no_wider)
    for args in (("Lead", "nobody"), ("Lead", "a", "nothing")):
        assert "has no extension" in str(said(state, *args).exception)


async def test_hooks_that_may_take_longer_are_more_to_consent_to(state: Path) -> None:
    source = COUNTER + "\n    async def said(self, text): pass\n"

    async def story(lead: Lead) -> list[str]:
        hook = {"hooks": [{"event": "said", "seconds": 1}]}
        await lead.extensions.propose(MANIFEST | hook, source)
        await lead.extensions.approve("counter", "1")
        slower = {"hooks": [{"event": "said", "seconds": 60}]}
        proposal = await lead.extensions.propose(upgraded("2") | slower, source)
        return [proposal.state, *map(str, proposal.changes)]

    async with LocalRuntime(state) as runtime:
        assert await run(runtime, story, consent=no_wider) == [
            "pending",
            "+ hook seconds: 1 s -> 60 s",
        ]
