"""Every bad input has its own error, and afterwards the parent still answers with its data."""

from __future__ import annotations

import asyncio
import faulthandler
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from facets import Actor, Limits, LocalRuntime
from facets.errors import (
    ConstraintError,
    CpuLimit,
    DatabaseCorrupt,
    FacetRunsOtherCode,
    GuestAborted,
    LoadError,
    LogLimit,
    NoSuchMethod,
    NotCallable,
    NotCopyable,
    NotTransferable,
    OutputLimit,
    ResultTooLarge,
    StackLimit,
    StatementTimeout,
    StorageFull,
    ValueTooLarge,
    WallLimit,
)
from storage import StorageLimits

HEAD = "import asyncio, os, sys, time\nfrom facets import Actor\n\nclass Tool(Actor):\n"
LIMITS = Limits(memory=64 << 20, cpu=0.2, wall=2.0)


def tool(body: str) -> str:
    """A tool with one method `run`, whose body this is."""
    return (
        HEAD
        + "    async def run(self, *args):\n"
        + "".join(f"        {line}\n" for line in body.splitlines())
    )


class Lead(Actor):
    async def acknowledged(self) -> list[Any]:
        self.kv["calls"] = self.kv.get("calls", 0) + 1
        good = self.isolates.get(
            tool("self.kv['n'] = self.kv.get('n', 0) + 1\nreturn self.kv['n']")
        )
        return [self.kv["calls"], await self.facets.get("good", good.actor("Tool")).run()]

    async def adopt(self, source: str, cls: str = "Tool", method: str = "run", *args: Any) -> Any:
        isolate = self.isolates.get(source, limits=LIMITS)
        facet = self.facets.replace("bad", isolate.actor(cls))
        return await getattr(facet, method)(*args)

    async def send(self, source: str, what: str) -> Any:
        value = {"object": object(), "generator": (i for i in "x"), "module": asyncio}[what]
        return await self.facets.get("bad", self.isolates.get(source).actor("Tool")).run(value)

    async def clash(self, first: str, second: str) -> None:
        await self.facets.get("bad", self.isolates.get(first).actor("Tool")).run()
        self.facets.get("bad", self.isolates.get(second).actor("Tool"))

    async def state_of_bad(self) -> Any:
        source = tool("return list(self.kv)")
        return await self.facets.replace("bad", self.isolates.get(source).actor("Tool")).run()

    async def on_facet_broken(self, name: str, error: BaseException) -> None:
        self.kv["broken"] = f"{name} {type(error).__name__}"

    async def broken(self) -> str | None:
        return self.kv.get("broken")


@pytest.fixture
async def runtime(state: Path) -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime(state) as runtime:
        yield runtime


@pytest.fixture
async def lead(runtime: LocalRuntime, state: Path) -> AsyncIterator[Lead]:
    """A parent that has written; after the test it still answers, here and after a restart."""
    lead = runtime.get(Lead, "a")
    assert await lead.acknowledged() == [1, 1]
    yield lead
    assert await lead.acknowledged() == [2, 2]
    await runtime.close()
    async with LocalRuntime(state) as again:
        assert await again.get(Lead, "a").acknowledged() == [3, 3]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def broken(:\n", "def broken(:"),
        ("x = 1\nraise KeyError('on import')\n", "raise KeyError('on import')"),
        ("import a_module_that_is_not_there\n", "import a_module_that_is_not_there"),
        ("import numpy\n", "import numpy"),
    ],
    ids=["does not parse", "raises on import", "imports nothing", "imports a package"],
)
async def test_source_that_does_not_load_shows_its_own_line(
    lead: Lead, source: str, line: str
) -> None:
    with pytest.raises(LoadError) as caught:
        await lead.adopt(source)
    assert line in caught.value.traceback


async def test_a_failed_load_does_not_poison_the_name(lead: Lead) -> None:
    with pytest.raises(LoadError):
        await lead.adopt("1/0")
    assert await lead.adopt(tool("return 5")) == 5


async def test_a_missing_class_is_named(lead: Lead) -> None:
    with pytest.raises(LoadError, match="Toll"):
        await lead.adopt(tool("return 1"), "Toll")


@pytest.mark.parametrize(
    ("method", "error"),
    [("walk", NoSuchMethod), ("_run", NotCallable), ("plain", NotCallable), ("sql", NotCallable)],
)
async def test_a_method_that_is_not_open_is_refused(
    lead: Lead, method: str, error: type[Exception]
) -> None:
    source = HEAD + "    async def _run(self): pass\n    def plain(self): pass\n"
    with pytest.raises(error):
        await lead.adopt(source, "Tool", method)


@pytest.mark.parametrize("what", ["object", "generator", "module"])
async def test_an_argument_that_cannot_cross_says_where(lead: Lead, what: str) -> None:
    with pytest.raises((NotCopyable, NotTransferable), match=r"arg(ument|s)\W?0"):
        await lead.send(tool("return 1"), what)


@pytest.mark.parametrize("value", ["object()", "[1, lambda: 1]", "self", "sys"])
async def test_a_result_that_cannot_cross_is_refused(lead: Lead, value: str) -> None:
    with pytest.raises(NotTransferable):
        await lead.adopt(tool(f"return {value}"))


async def test_an_exception_carries_the_tools_own_lines(lead: Lead) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        await lead.adopt(tool("n = 0\nreturn 1 / n"))
    notes = "".join(caught.value.__notes__)
    assert "return 1 / n" in notes
    assert "line 7" in notes


KILLS = [
    ("while True: pass", CpuLimit),
    ("await asyncio.sleep(3600)", WallLimit),
    ("time.sleep(3600)", WallLimit),
    ("return 'x' * (100 << 20)", (OutputLimit, MemoryError)),
    ("return 'x' * ((16 << 20) + 1)", OutputLimit),
    ("for _ in range(100): print('x' * (1 << 20))", LogLimit),
    ("os.abort()", GuestAborted),
    ("x = []\nwhile True: x.append('x' * (1 << 20))", MemoryError),
    ("x = [0]\nwhile True: x += x", MemoryError),
    ("def f(): return f()\nf()", RecursionError),
    (
        "sys.setrecursionlimit(10**9)\ndef f(): return f()\nf()",
        (StackLimit, RecursionError, MemoryError),
    ),
    ("x = None\nfor _ in range(10**5): x = [x]\nreturn x", (RecursionError, NotTransferable)),
    ("import re\nre.match('(a*)*b', 'a' * 40)", CpuLimit),
    ("x = 9 ** 9 ** 9", (CpuLimit, MemoryError, OverflowError)),
    ("open('/etc/passwd')", OSError),
    ("import socket\nsocket.create_connection(('127.0.0.1', 80))", (OSError, ImportError)),
    ("import subprocess\nsubprocess.run(['true'])", (OSError, ImportError, AttributeError)),
    ("import ctypes", ImportError),
    ("import threading\nthreading.Thread(target=print).start()", (RuntimeError, ImportError)),
    ("os.fork()", (AttributeError, OSError)),
    ("raise SystemExit(3)", Exception),
    ("raise KeyboardInterrupt", Exception),
]  # fmt: skip


@pytest.mark.parametrize(("body", "error"), KILLS, ids=[body[:40] for body, _ in KILLS])
async def test_hostile_code_ends_with_its_own_error_and_its_open_step_is_undone(
    lead: Lead, body: str, error: Any
) -> None:
    assert faulthandler.is_enabled()
    source = tool("self.kv['kept'] = 1\nawait asyncio.sleep(0)\nself.kv['undone'] = 1\n" + body)
    with pytest.raises(error):
        await lead.adopt(source)
    assert await lead.state_of_bad() in (["kept"], ["kept", "undone"])
    if isinstance(error, type) and issubclass(error, CpuLimit):
        assert await lead.state_of_bad() == ["kept"]


async def test_the_parent_hears_of_a_facet_that_was_killed(lead: Lead) -> None:
    with pytest.raises(CpuLimit):
        await lead.adopt(tool("while True: pass"))
    while not (heard := await lead.broken()):
        await asyncio.sleep(0)
    assert heard == "bad CpuLimit"


async def test_sql_that_fails_in_a_transaction_undoes_it(lead: Lead) -> None:
    source = tool(
        "self.sql('create table t(x unique)')\n"
        "await asyncio.sleep(0)\n"
        "self.kv['undone'] = 1\n"
        "with self.transaction():\n"
        "    self.sql('insert into t values (1)')\n"
        "    self.sql('insert into t values (1)')"
    )
    with pytest.raises(ConstraintError):
        await lead.adopt(source)
    assert await lead.state_of_bad() == []


async def test_two_facets_of_one_name_with_other_code_are_refused(lead: Lead) -> None:
    with pytest.raises(FacetRunsOtherCode, match="replace"):
        await lead.clash(tool("return 1"), tool("return 2"))


async def test_a_full_database_undoes_the_step_and_the_actor_goes_on(state: Path) -> None:
    class Hoarder(Actor):
        async def add(self, size: int) -> int:
            self.kv[str(len(self.kv))] = b"x" * size
            return len(self.kv)

    async with LocalRuntime(state, limits=StorageLimits(database=1 << 20)) as runtime:
        hoarder = runtime.get(Hoarder, "a")
        assert await hoarder.add(100) == 1
        with pytest.raises(StorageFull):
            await hoarder.add(2 << 20)
        assert await hoarder.add(100) == 2
    async with LocalRuntime(state) as runtime:
        assert await runtime.get(Hoarder, "a").add(100) == 3


async def test_a_damaged_database_is_told_and_the_others_answer(state: Path) -> None:
    class Keeper(Actor):
        async def put(self, n: int) -> int:
            self.sql("create table if not exists t(x)")
            self.sql("insert into t select zeroblob(3000) from (values (1), (2), (3))")
            return self.sql("select count(*) from t").value() // 3

        async def child(self, name: str) -> int:
            return await self.facets.get(name, Keeper).put(1)

    async with LocalRuntime(state) as runtime:
        keeper = runtime.get(Keeper, "a")
        for name in ("x", "y"):
            assert await keeper.child(name) == 1
    async with LocalRuntime(state):  # recovery moves the journal's pages into the files
        pass
    files = sorted(state.glob("db/*/*.db"), key=lambda file: file.stat().st_size)
    files[-1].write_bytes(b"garbage" * 2000)
    async with LocalRuntime(state) as runtime:
        keeper = runtime.get(Keeper, "a")
        outcomes = []
        for name in ("x", "y"):
            try:
                outcomes.append(await keeper.child(name))
            except DatabaseCorrupt as error:
                assert error.fields["path"] == str(files[-1])
                outcomes.append("damaged")
        assert sorted(outcomes, key=str) == [2, "damaged"]


SQL_LIMITS = [
    (
        "self.sql('with recursive n(i) as (values(1) union all select i + 1 from n) "
        "select count(*) from n')",
        StatementTimeout,
    ),
    ("self.sql('select zeroblob(2000000)')", ValueTooLarge),
    (
        "self.sql('with recursive n(i) as (values(1) union all select i + 1 from n limit 100) "
        "select zeroblob(1000000) from n')",
        ResultTooLarge,
    ),
]


@pytest.mark.parametrize(("body", "error"), SQL_LIMITS, ids=["time", "value", "result"])
async def test_sql_of_an_isolate_has_its_own_limits(
    lead: Lead, body: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await lead.adopt(tool(body))
    assert await lead.adopt(tool("return self.sql('select 1').value()")) == 1
