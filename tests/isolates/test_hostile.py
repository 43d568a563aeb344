"""Code that means harm, or is merely bad: it fails with its own error and hurts nobody else."""

from __future__ import annotations

import asyncio
import faulthandler
import sys

import pytest

from facets.isolates import calling
from facets.isolates.errors import (
    CallLimit,
    CpuLimit,
    GuestAborted,
    GuestError,
    IsolateDead,
    LoadError,
    LogLimit,
    MemoryLimit,
    NotTransferable,
    OutputLimit,
    ProtocolViolation,
    StackLimit,
    WallLimit,
)
from facets.isolates.session import Session
from storage.errors import NotStorable
from tests.isolates.conftest import Open
from tests.isolates.fake import Owner

pytestmark = pytest.mark.usefixtures("healthy")

TOOL = """
import asyncio, os, sys, time
from facets import Actor

class Tool(Actor):
    migrations = ["create table if not exists t(n)"]
    async def ok(self): return "ok"
"""


def tool(body: str) -> str:
    """A tool with one more method, `run`."""
    lines = "\n".join("        " + line for line in body.strip("\n").split("\n"))
    return f"{TOOL}    async def run(self, *args):\n{lines}\n"


async def _dies(session: Session, owner: Owner, error: type[IsolateDead]) -> IsolateDead:
    """Its `run` kills the isolate with this error; the owner hears it once, later calls too."""
    with pytest.raises(error) as caught:
        await session.call("run")
    assert not session.alive
    assert [type(death) for death in owner.deaths] == [error]
    with pytest.raises(error):
        await session.call("ok")
    return caught.value


# -- survives: an error for the caller, and the isolate goes on -----------------------------------

SURVIVES = {
    "deep recursion": ("def f(n): return f(n + 1)\nf(0)", RecursionError, ""),
    "recursive getattr": (
        "class A:\n    def __getattr__(s, n): return getattr(s, n + 'x')\nA().y",
        RecursionError,
        "",
    ),
    "nested eval": ("eval('(' * 50 + '1' + ')' * 50)\nraise KeyError('fine')", KeyError, "fine"),
    "too nested eval": ("eval('(' * 150 + '1' + ')' * 150)", MemoryError, "too complex"),
    "missing module": ("import no_such_module", ModuleNotFoundError, "no_such_module"),
    "sqlite3": ("import sqlite3", ModuleNotFoundError, "sqlite3"),
    "threads": ("import threading\nthreading.Thread(target=print).start()", RuntimeError, "thread"),
    "subprocess": ("import subprocess", ModuleNotFoundError, ""),
    "open a file": ("open('/etc/passwd')", FileNotFoundError, ""),
    "write a file": ("open('x', 'w')", OSError, ""),
    "list a folder": ("os.listdir('/')", OSError, ""),
    "socket": ("import socket\nsocket.socket()", PermissionError, "no sockets"),
    "connection": (
        "import socket\nsocket.create_connection(('127.0.0.1', 80))",
        PermissionError,
        "no sockets",
    ),
    "url": (
        "import urllib.request\nurllib.request.urlopen('http://localhost')",
        OSError,
        "no services of its own",
    ),
    "select": ("import select\nselect.select([], [], [], 1)", PermissionError, ""),
    "object in kv": ("self.kv['x'] = object()", NotStorable, "object"),
    "ctypes": ("import ctypes", ModuleNotFoundError, ""),
    "exit": ("sys.exit(3)", GuestError, ""),
    "keyboard interrupt": ("raise KeyboardInterrupt", GuestError, ""),
    "stop iteration": ("raise StopIteration", RuntimeError, ""),
    "generator result": ("return (i for i in ())", NotTransferable, "result: generator"),
    "function in a result": ("return {'a': [1, print]}", NotTransferable, r'result\["a"\]\[1\]'),
    "object result": ("return object()", NotTransferable, "result: object"),
    "cyclic result": ("x = []\nx.append(x)\nreturn x", NotTransferable, "deeper than"),
    "deep result": (
        "x = []\nfor _ in range(500): x = [x]\nreturn x",
        NotTransferable,
        "deeper than",
    ),
    "bad str": (
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E",
        GuestError,
        "raised",
    ),
    "big allocation": ("bytearray(1 << 30)", MemoryError, ""),
    "executor": (
        "await asyncio.get_running_loop().run_in_executor(None, print)",
        RuntimeError,
        "threads",
    ),
    "own loop": ("asyncio.run(asyncio.sleep(0))", RuntimeError, ""),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", SURVIVES)
async def test_is_an_error_like_any_other(start: Open, owner: Owner, name: str) -> None:
    body, error, says = SURVIVES[name]
    session = await start(tool(body))

    with pytest.raises(error, match=says or None):
        await session.call("run")

    assert await session.call("ok") == "ok"
    assert owner.deaths == []


async def test_a_memory_error_that_is_caught_frees_what_it_held(start: Open) -> None:
    session = await start(
        tool(
            """
            held = []
            try:
                while True:
                    held.append(bytearray(1 << 20))
            except MemoryError:
                n = len(held)
                held.clear()
            return n
            """.replace("            ", "")
        )
    )

    assert 10 < await session.call("run") < 64
    assert await session.call("ok") == "ok"


# -- dies -----------------------------------------------------------------------------------------


async def test_an_endless_loop_meets_the_cpu_limit(start: Open, owner: Owner) -> None:
    session = await start(
        tool("self.sql('insert into t values (1)')\nwhile True: pass"), limits={"cpu": 0.1}
    )
    bystander = asyncio.create_task(session.call("run"))

    await _dies(session, owner, CpuLimit)

    with pytest.raises(CpuLimit):
        await bystander
    assert owner.values("select n from t") == []
    assert owner.events[-1] == "rollback"


async def test_an_endless_loop_leaves_the_loop_to_others(start: Open, owner: Owner) -> None:
    session = await start(tool("while True: pass"), limits={"cpu": 0.3})
    spinning = asyncio.create_task(session.call("run"))
    turns = 0
    while not spinning.done():
        await asyncio.sleep(0)
        turns += 1

    assert turns > 100
    assert isinstance(spinning.exception(), CpuLimit)


async def test_an_endless_regex_meets_the_cpu_limit(start: Open, owner: Owner) -> None:
    session = await start(
        tool("import re\nre.match('(a+)+$', 'a' * 60 + 'b')"), limits={"cpu": 0.1}
    )

    await _dies(session, owner, CpuLimit)


async def test_an_endless_loop_at_import_meets_the_cpu_limit(start: Open, owner: Owner) -> None:
    with pytest.raises(CpuLimit):
        await start("while True: pass", limits={"cpu": 0.1})


async def test_abort_after_faulthandler_does_not_reach_the_process(
    start: Open, owner: Owner
) -> None:
    session = await start(tool("os.abort()"))
    was = faulthandler.is_enabled()
    faulthandler.enable(file=sys.__stderr__)
    try:
        error = await _dies(session, owner, GuestAborted)
    finally:
        if not was:
            faulthandler.disable()

    assert "unreachable" in error.trap


async def test_exit_without_cleaning_up_is_an_abort(start: Open, owner: Owner) -> None:
    session = await start(tool("os._exit(0)"))

    error = await _dies(session, owner, GuestAborted)

    assert "exit" in error.trap


async def test_reading_stdin_is_a_trap_that_names_itself(start: Open, owner: Owner) -> None:
    session = await start(tool("os.read(0, 1)"))

    error = await _dies(session, owner, GuestAborted)

    assert "wasi:cli/stdin" in error.trap


async def test_a_memory_bomb_is_a_memory_error_or_killed(start: Open, owner: Owner) -> None:
    session = await start(tool("x = [0]\nwhile True: x.append(list(range(1000)))"))

    with pytest.raises(MemoryError) as caught:
        await session.call("run")

    assert isinstance(caught.value, GuestError if session.alive else MemoryLimit)


FULL = """
kept = []
async def run():
    for size in (1 << 20, 1 << 12, 1 << 8, 1 << 5, 1):
        try:
            while True: kept.append(bytes(size)) if size > 1 else kept.append([])
        except MemoryError:
            pass
    raise ValueError("there is no memory for this")
"""


async def test_an_error_that_there_is_no_memory_to_describe_ends_the_call(start: Open) -> None:
    session = await start(FULL, target="run", actor=False)

    with pytest.raises((MemoryError, ValueError)):
        await session.call("")


@pytest.mark.parametrize(
    "body",
    [
        "x = []\nfor _ in range(10**6): x = [x]\nrepr(x)",
        "x = None\nfor _ in range(10**6): x = (x,)\ndel x",
        "import json\njson.loads('[' * 10**6)",
        "x = []\nfor _ in range(10**5): x = [x]\nreturn x",
        "x = y = ()\nfor _ in range(10**5): x, y = (x,), (y,)\nx == y",
    ],
)
async def test_deep_structures_are_a_recursion_error_or_nothing(start: Open, body: str) -> None:
    session = await start(tool(body))

    try:
        await session.call("run")
    except (RecursionError, NotTransferable) as error:
        assert session.alive or isinstance(error, StackLimit)
    if session.alive:
        assert await session.call("ok") == "ok"


async def test_a_result_over_the_limit_kills(start: Open, owner: Owner) -> None:
    session = await start(tool("return 'x' * (2 << 20)"), limits={"output": 1 << 20})

    error = await _dies(session, owner, OutputLimit)

    assert error.fields["size"] > 2 << 20


async def test_a_result_over_the_default_limit_kills(start: Open, owner: Owner) -> None:
    session = await start(tool("return 'x' * ((16 << 20) + 1)"))

    await _dies(session, owner, OutputLimit)


async def test_a_result_of_100_megabytes_is_a_memory_error(start: Open) -> None:
    session = await start(tool("return b'x' * 100_000_000"))

    with pytest.raises(MemoryError):
        await session.call("run")


async def test_100_megabytes_of_print_is_refused(start: Open, owner: Owner) -> None:
    session = await start(tool("for _ in range(100): print('x' * 1_000_000)"))

    await _dies(session, owner, LogLimit)

    assert len(owner.text) <= 1 << 20


async def test_too_many_storage_operations_kill(start: Open, owner: Owner) -> None:
    session = await start(
        tool("while True: self.sql('insert into t values (1)')"), limits={"calls": 50}
    )

    await _dies(session, owner, CallLimit)

    assert owner.values("select n from t") == []


async def test_budgets_are_per_call(start: Open, owner: Owner) -> None:
    session = await start(
        tool("for i in range(40): self.sql('insert into t values (1)')\nprint('x' * 600)"),
        limits={"calls": 50, "logs": 1000},
    )

    for _ in range(3):
        await session.call("run")
    await asyncio.gather(*[session.call("run") for _ in range(3)])


async def test_a_storage_argument_over_the_limit_kills(start: Open, owner: Owner) -> None:
    session = await start(tool("self.sql('select ?', 'x' * (2 << 20))"), limits={"output": 1 << 20})

    await _dies(session, owner, OutputLimit)


async def test_a_call_over_its_time_is_cancelled_and_the_isolate_lives(
    start: Open, owner: Owner
) -> None:
    session = await start(tool("await asyncio.sleep(60)"), limits={"wall": 0.05})

    with pytest.raises(WallLimit) as caught:
        await session.call("run")

    assert caught.value.survived
    assert isinstance(caught.value, TimeoutError)
    assert await session.call("ok") == "ok"
    assert owner.deaths == []


STUBBORN = {
    "catches": "while True:\n    try: await asyncio.sleep(60)\n    except BaseException: pass",
    "sleeps": "time.sleep(10**9)",
    "yields": "while True:\n    try: await asyncio.sleep(0)\n    except BaseException: pass",
    "storage": "while True: self.sql('select 1')",
}


@pytest.mark.parametrize("name", STUBBORN)
async def test_a_call_that_does_not_end_when_cancelled_is_killed(
    start: Open, owner: Owner, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(calling, "GRACE", 0.05)
    session = await start(tool(STUBBORN[name]), limits={"wall": 0.05, "calls": 10**9})

    error = await _dies(session, owner, WallLimit)

    assert not error.survived  # type: ignore[attr-defined]


async def test_sleeping_at_import_meets_the_wall_limit(start: Open, owner: Owner) -> None:
    with pytest.raises(WallLimit):
        await start("import time\ntime.sleep(10**9)", limits={"wall": 0.05})


async def test_time_sleep_holds_no_thread(start: Open) -> None:
    sleepers = [await start(tool("time.sleep(0.05)\nreturn 1")) for _ in range(8)]

    assert await asyncio.gather(*[session.call("run") for session in sleepers]) == [1] * 8


async def test_a_caller_that_goes_away_leaves_no_stubborn_call_behind(
    start: Open, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "GRACE", 0.05)
    session = await start(tool(STUBBORN["catches"]))
    task = asyncio.create_task(session.call("run"))
    await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(10):
        while session.alive:
            await asyncio.sleep(0)

    assert [type(death) for death in owner.deaths] == [WallLimit]


# -- lies: the guest talks to the host directly ---------------------------------------------------

LIES = {
    "unknown id": "calls.out.append('[\"ok\",99,1]')",
    "unknown tag": "calls.out.append('[\"root\"]')",
    "no list": "calls.out.append('7')",
    "no json": "calls.out.append('{')",
    "missing parts": "calls.out.append('[\"ok\"]')",
    "unhashable id": "calls.out.append('[\"ok\",[],1]')",
    "unknown value tag": 'calls.out.append(\'["ok",1,{"$":["pickle","x"]}]\')',
    "attachment that is not there": 'calls.out.append(\'["ok",1,{"$":["b",0,99]}]\')',
    "deep header": "calls.out.append('[' * 5000 + ']' * 5000)",
    "deep value": "calls.out.append('[\"ok\",1,' + '['*600 + '{\"$\":[\"t\",[]]}' + ']'*600 + ']')",
    "stream item of a call": "calls.out.append('[\"item\",1,1]')",
    "end of a call": "calls.out.append('[\"end\",1]')",
    "unhashable in a set": 'calls.out.append(\'["ok",1,{"$":["e",[[1]]]}]\')',
    "sleep until never": 'calls.out.append(\'["sleep","x"]\')',
    "unknown operation": "host.call('[1,1,\"attach\",[]]')",
    "malformed operation": "host.call('[1]')",
    "operation of no json": "host.call('\\ud7ff')",
}


@pytest.mark.parametrize("name", LIES)
async def test_a_lie_is_a_violation(start: Open, owner: Owner, name: str) -> None:
    body = f"""
import gc, app
from wit_world.imports import host
calls = app._running[0]
{LIES[name]}
"""
    session = await start(tool(body))

    await _dies(session, owner, ProtocolViolation)


async def test_the_guest_cannot_choose_what_the_host_catches(start: Open) -> None:
    session = await start(
        tool(
            """
from facets import errors
name = args[0]
if name in ("SystemExit", "GeneratorExit", "KeyboardInterrupt"):
    raise type(name, (BaseException,), {})()
raise type(name, (errors.FacetsError,), {"__module__": "facets.errors"})("mine")
"""
        )
    )

    for name in ("JournalFailed", "WallLimit", "IsolateDead", "SystemExit", "KeyboardInterrupt"):
        with pytest.raises(GuestError) as caught:
            await session.call("run", (name,))
        assert type(caught.value).__mro__[1] is GuestError
        assert type(caught.value).__mro__[2].__name__ == "IsolateError"


async def test_a_load_error_that_lies_is_still_a_load_error(start: Open) -> None:
    with pytest.raises(LoadError):
        await start("class E(Exception):\n    def __str__(self): raise E\nraise E")
