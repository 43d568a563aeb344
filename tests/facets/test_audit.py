"""Every use of a capability by code in an isolate leaves one row with its owner."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import facets
from facets import Actor, LocalRuntime
from facets.capabilities import audit
from facets.capabilities.audit import digest
from facets.errors import CapabilityDenied

TOOL = """
import asyncio
from facets import Actor
class Tool(Actor):
    async def call(self, cap, *args): return await cap(*args)
    async def on(self, cap, method, *args): return await getattr(cap, method)(*args)
    async def all(self, cap, n): return await asyncio.gather(*[cap(i) for i in range(n)])
    async def first(self, cap):
        async for item in cap(5): return item
    async def write(self, n): self.kv["n"] = n
async def main(cap, *args): return await cap(*args)
"""


class Other(Actor):
    async def note(self, what: str) -> str:
        self.kv[what] = 1
        return what


class Lead(Actor):
    migrations = ["create table log(what text)"]

    async def do(self, script: str, *args: Any) -> Any:
        return await SCRIPTS[script](self, *args)

    def tool(self) -> Any:
        return self.facets.get("tool", self.isolates.get(TOOL).actor("Tool"))

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Oldest first: who, capability.method, outcome, error."""
        used = reversed(self.isolates.audit())
        return [(u.who, f"{u.capability}.{u.method}", u.outcome, u.error) for u in used]

    @facets.capability
    async def note(self, what: str) -> str:
        self.sql("insert into log values (?)", what)
        return what

    @facets.capability
    async def fail(self, what: str) -> None:
        self.sql("insert into log values (?)", what)
        await asyncio.sleep(0)
        raise LookupError(what)

    @facets.capability
    async def echo(self, n: int) -> int:
        return n

    @facets.capability
    async def odd(self, n: int) -> None:
        self.sql("insert into log values (?)", str(n))
        if n % 2:
            raise LookupError(str(n))

    @facets.capability
    async def count(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i


SCRIPTS: dict[str, Any] = {}


async def run(runtime: LocalRuntime, story: Any, *args: Any) -> Any:
    SCRIPTS[story.__name__] = story
    return await runtime.get(Lead, "a").do(story.__name__, *args)


@pytest.fixture
async def runtime(state: Path) -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime(state) as runtime:
        yield runtime


async def test_each_use_is_one_row_with_its_outcome(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        tool, other = lead.tool(), lead.facets.get("other", Other)
        await tool.call(lead.note, "x")
        await tool.on(other, "note", "y")
        with pytest.raises(LookupError):
            await tool.call(lead.fail, "z")
        with pytest.raises(CapabilityDenied):
            await tool.call(lead.note.only(what="a*"), "b")
        assert await tool.first(lead.count) == 0
        await lead.isolates.run(TOOL, lead.note, "m")

        rows = lead.rows()
        assert rows[:4] == [
            ("Lead:a/tool", "Lead.note.", "ok", ""),
            ("Lead:a/tool", "Lead:a/other.note", "ok", ""),
            ("Lead:a/tool", "Lead.fail.", "failed", "LookupError"),
            ("Lead:a/tool", "Lead.note.", "denied", "CapabilityDenied"),
        ]
        assert rows[4][1:3] == ("Lead.count.", "ok")
        assert rows[5][0].endswith(".main")
        assert rows[5][1:] == ("Lead.note.", "ok", "")
        used = lead.isolates.audit(1)[0]
        assert used.seconds > 0
        assert used.digest == digest([("m",), {}])
        assert [u.id for u in lead.isolates.audit(2, before=used.id)] == [5, 4]
        assert lead.sql("select what from log").all() == [("x",), ("z",), ("m",)]

    await run(runtime, story)


async def test_the_row_is_part_of_the_step_that_did_it(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> int:
        tool = lead.tool()
        await tool.call(lead.note, "x")
        before = lead._active().database.sequence
        await tool.call(lead.note, "y")
        after = lead._active().database.sequence
        return after - before

    assert await run(runtime, story) == 1


async def test_uses_of_one_turn_are_recorded_together(
    runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    flush = audit.Audit.flush

    def counting(self: audit.Audit) -> None:
        kept.append(len(self._over))
        flush(self)

    monkeypatch.setattr(audit.Audit, "flush", counting)

    async def story(lead: Lead) -> None:
        written = await lead.tool().all(lead.echo, 50)
        assert written == [*range(50)]
        assert kept[0] == 50  # before the first of them runs
        while len(kept) < 2:
            await asyncio.sleep(0)
        assert kept[1:] == [50]
        assert [row[2] for row in lead.rows()] == ["ok"] * 50

    await run(runtime, story)


async def test_uses_of_one_turn_that_write_are_each_one_step(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        with pytest.raises(LookupError):
            await lead.tool().all(lead.odd, 3)
        assert lead.sql("select what from log").all() == [("0",), ("2",)]
        assert [row[2:] for row in lead.rows()] == [
            ("ok", ""), ("failed", "LookupError"), ("ok", ""),
        ]  # fmt: skip

    await run(runtime, story)


async def test_a_killed_isolate_leaves_its_row(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        began = asyncio.Event()

        @facets.capability
        async def forever() -> None:
            began.set()
            await asyncio.Event().wait()

        calling = asyncio.ensure_future(lead.tool().call(forever))
        await began.wait()
        assert [row[2] for row in lead.rows()] == ["running"]
        lead.facets.abort("tool")
        with pytest.raises(facets.errors.FacetAborted):
            await calling
        while lead.rows()[0][2] == "running":
            await asyncio.sleep(0)
        assert [row[2] for row in lead.rows()] == ["cancelled"]

    await run(runtime, story)


@pytest.mark.parametrize("kept", [True, False])
async def test_a_transaction_that_is_undone_does_not_undo_the_record(
    runtime: LocalRuntime, kept: bool
) -> None:
    async def story(lead: Lead) -> None:
        tool, other = lead.tool(), lead.facets.get("other", Other)

        async def transact() -> None:
            async with lead.facets.transaction():
                await tool.call(lead.note, "x")
                await tool.on(other, "note", "y")
                if not kept:
                    raise RuntimeError("no")

        if kept:
            await transact()
        else:
            with pytest.raises(RuntimeError, match="no"):
                await transact()
        while len(lead.rows()) < 2:
            await asyncio.sleep(0)
        assert [row[2] for row in lead.rows()] == ["ok", "ok"]
        assert lead.sql("select count(*) from log").value() == (1 if kept else 0)

    await run(runtime, story)


async def test_the_oldest_rows_go(runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "KEPT", 50)

    async def story(lead: Lead) -> None:
        tool = lead.tool()
        for i in range(110):
            await tool.call(lead.note, str(i))
        used = lead.isolates.audit(1000)
        assert (used[0].id, used[-1].id) == (110, 51)

    await run(runtime, story)


async def test_numbers_go_on_after_a_restart(state: Path) -> None:
    async def story(lead: Lead) -> list[int]:
        await lead.tool().call(lead.note, "x")
        return [used.id for used in lead.isolates.audit()]

    for expected in ([1], [2, 1]):
        async with LocalRuntime(state) as runtime:
            assert await run(runtime, story) == expected


async def test_without_uses_there_is_nothing_and_no_database(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> bool:
        assert lead.isolates.audit() == []
        return lead._active().database.has_file

    assert await run(runtime, story) is False


KILLED = """
import asyncio, os, sys
from tests.facets.test_audit import *

async def story(lead):
    other = lead.facets.get("other", Other)
    @facets.capability
    async def kill():
        await other.note("before")
        lead._active().node.host.gate.sync()
        os.kill(os.getpid(), 9)
    await lead.tool().call(kill)

async def main():
    async with LocalRuntime(sys.argv[1]) as runtime:
        await run(runtime, story)
asyncio.run(main())
"""


async def test_a_killed_process_leaves_the_row_of_what_it_did(state: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(state)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()

    async def story(lead: Lead) -> None:
        assert [row[1:3] for row in lead.rows()] == [("kill.", "running")]

    async with LocalRuntime(state) as runtime:
        await run(runtime, story)


async def test_guests_cannot_touch_the_record(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        await lead.tool().call(lead.note, "x")
        view = lead.sql.view(["_facets_audit"], "rw")
        for query in ("select * from _facets_audit", "delete from _facets_audit"):
            with pytest.raises(facets.errors.SqlDenied):
                await lead.tool().on(view, "execute", query)
        assert len(lead.rows()) == 3

    await run(runtime, story)


def test_equal_arguments_have_equal_digests() -> None:
    @facets.capability
    def it() -> None: ...

    assert digest([({"b": 1, "a": {2, 1}},), {}]) == digest([({"a": {1, 2}, "b": 1},), {}])
    assert digest([(it,), {}]) == digest([(it,), {}])
    assert digest([(1,), {}]) != digest([("1",), {}])
    assert len(digest([(2**100, complex(1), "\ud800"), {}])) == 64
