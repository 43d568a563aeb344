"""Guests that abuse what they were handed, and hosts that end them in the middle of it."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import AsyncIterator
from typing import Any

import pytest

from facets.capabilities.marked import capability
from facets.isolates import calling, serving
from facets.isolates.errors import (
    CallLimit,
    GuestAborted,
    GuestError,
    HostMemoryLimit,
    IsolateClosed,
    IsolateDead,
    LogLimit,
    ProtocolViolation,
    WallLimit,
)
from facets.isolates.session import Session
from tests.isolates.battery.conftest import Ring

SAY = "from isolate import capabilities\nsay = capabilities._current[0]._calls.out.append\n"


class Held:
    """A capability that waits, and knows how many wait in it and how many were let go."""

    def __init__(self) -> None:
        self.waiting = self.over = 0

    async def __call__(self, *args: Any) -> None:
        self.waiting += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.waiting -= 1
            self.over += 1


@pytest.fixture
def held() -> Held:
    return Held()


async def entered(held: Held, times: int = 1) -> None:
    async with asyncio.timeout(10):
        while held.waiting < times:
            await asyncio.sleep(0)


@capability
async def echo(*args: Any) -> list[Any]:
    return list(args)


@capability
async def endless() -> AsyncIterator[int]:
    while True:
        yield 1


WAITS = {
    "python": "return await args[0]()",
    "javascript": "return await args[0]()",
    "typescript": "return await args[0]()",
}


@pytest.mark.parametrize("language", WAITS)
async def test_an_isolate_that_is_killed_during_a_call_takes_the_call_with_it(
    ring: Ring, held: Held, language: str
) -> None:
    session = await ring.open(WAITS[language], language)
    calling = asyncio.ensure_future(session.call("run", (capability(held.__call__),)))
    await entered(held)

    session.kill(IsolateDead("enough"))

    with pytest.raises(IsolateDead, match="enough"):
        await calling
    async with asyncio.timeout(10):
        while held.waiting:
            await asyncio.sleep(0)
    assert held.over == 1


@pytest.mark.parametrize("language", WAITS)
async def test_a_capability_may_end_the_isolate_that_calls_it(ring: Ring, language: str) -> None:
    opened: list[Session] = []

    @capability
    async def suicide() -> int:
        opened[0].close()
        return 1

    opened.append(await ring.open(WAITS[language], language))
    with pytest.raises(IsolateClosed):
        await opened[0].call("run", (suicide,))


async def test_an_isolate_that_is_killed_in_a_storage_operation_leaves_no_step(ring: Ring) -> None:
    session = await ring.open("self.kv['a'] = 1\nself.kv['b'] = 2\nreturn 1")
    operations = []

    def on_storage(op: str, args: list[Any]) -> None:
        operations.append(op)
        if len(operations) == 2:
            session.kill(IsolateDead("enough"))

    ring.owner.on_storage = on_storage
    with pytest.raises(IsolateDead, match="enough"):
        await session.call("run")

    ring.owner.rollback()
    assert ring.owner.values("select count(*) from _kv") == [0]


async def test_what_is_cancelled_by_its_caller_cancels_what_it_called(
    ring: Ring, held: Held
) -> None:
    session = await ring.open("return await args[0]()")
    calling = asyncio.ensure_future(session.call("run", (capability(held.__call__),)))
    await entered(held)

    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    async with asyncio.timeout(10):
        while held.waiting:
            await asyncio.sleep(0)
    assert await session.call("ok") == "ok"


async def test_who_never_gives_up_is_ended(
    ring: Ring, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "GRACE", 0.05)
    stubborn = "while True:\n    try: await args[0]()\n    except BaseException: pass"
    error = await ring.attack(
        stubborn, WallLimit, args=(capability(held.__call__),), wall=0.1, cpu=10.0
    )
    assert not error.survived  # type: ignore[attr-defined]


FORKS = {
    "python": "held = [asyncio.ensure_future(args[0]()) for _ in range(20)]\n"
    "while True: held += [asyncio.ensure_future(args[0]()) for _ in held]; await asyncio.sleep(0)",
    "javascript": "const h = []; for (let n = 1; ; n *= 2) { for (let i = 0; i < n; i++)"
    " h.push(args[0]().catch(() => 0)); await facets.sleep(0); }",
}


@pytest.mark.parametrize("language", FORKS)
async def test_calls_that_multiply_stay_below_what_may_be_under_way(
    ring: Ring, held: Held, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "GRACE", 0.05)
    session = await ring.open(FORKS[language], language, wall=0.5, cpu=5.0)

    with pytest.raises((IsolateDead, MemoryError)):
        await session.call("run", (capability(held.__call__),))
    session.close()
    async with asyncio.timeout(10):
        while held.waiting:
            await asyncio.sleep(0)
    assert held.over <= serving.PENDING


COLLIDING = ",".join(f'{{"$":["i","{i * (2**61 - 1):#x}"]}}' for i in range(1000))
ROWS = ",".join(f'{{"$":["w",["c{i}"],[1]]}}' for i in range(1000))
OPEN = '{"$":["t",['
FORGED = {
    "a number beyond all numbers": '["call",9007199254740992,1,"",[],{}]',
    "a handle that is an array": '["call",1,[1],"",[],{}]',
    "arguments of numbers of one hash": f'["call",1,1,"",[{{"$":["e",[{COLLIDING}]]}}],{{}}]',
    "a time that is no number": '["sleep",NaN]',
    "a time beyond all times": f'["sleep",1{"0" * 400}]',
    "a time in words": '["sleep","nan"]',
    "a size beyond all sizes": '["long",1e999]',
    "a number as an answer": '["ok",1.5,1]',
    "an answer to truth": '["ok",true,{"$":["t"]}]',
    "a deep tagged answer": f'["ok",1,{OPEN * 250}1{"]]}" * 250}]',
    "rows without end": f'["ok",1,[{ROWS}]]',
    "an array of arrays": '["ok",1,{"$":["N","<f8",[%s],{"$":["b",0,0]}]}]' % ("9" * 300),
    "an array of objects": '["ok",1,{"$":["N","|O",[1],{"$":["b",0,0]}]}]',
    "a decimal that hashes to nothing": '["ok",1,{"$":["e",[{"$":["D","sNaN"]}]]}]',
    "a time before all times": '["ok",1,{"$":["dt","0000-00-00"]}]',
    "a span beyond all spans": '["ok",1,{"$":["td",[1e300,0,0]]}]',
    "a message of the host's": '["tick"]',
    "two blobs": '["ok",1,{"$":["b",-1,1]}]',
}


@pytest.mark.parametrize("what", FORGED)
async def test_a_forged_message_kills_and_calls_nothing(ring: Ring, what: str) -> None:
    said = SAY + "say(args[1])\nself.kept = args[0]\nawait asyncio.sleep(0)"
    await ring.attack(said, ProtocolViolation, args=(echo, FORGED[what]))
    assert ring.owner.asked == []


NAMED = ["self", "add_note", "with_traceback", "args", "characters_written", "__class__", "fields"]


@pytest.mark.parametrize("field", NAMED)
async def test_an_error_with_a_field_of_any_name_ends_its_call(ring: Ring, field: str) -> None:
    session = await ring.open(SAY + "say(args[0])\nawait asyncio.sleep(1000)")
    error = {"kinds": ["OSError"], "notes": ["n"], "fields": {field: 1}}

    with pytest.raises(GuestError) as caught:
        await session.call("run", (json.dumps(["err", 1, error]),))

    assert isinstance(caught.value, OSError)
    assert caught.value.__notes__ == ["n"]
    assert pickle.loads(pickle.dumps(caught.value)).fields == caught.value.fields


async def test_a_stream_without_a_pause_leaves_the_loop_to_others(ring: Ring) -> None:
    said = SAY + 'say(\'["call",1,1,"",[],{}]\')\nsay(\'["more",1,1048576]\')\n'
    session = await ring.open(
        said + "self.kept = args[0]\nawait asyncio.sleep(1000)", host=1 << 20, wall=2.0
    )
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    # It depends on the machine whether the host holds too much first or the time is up.
    with pytest.raises((HostMemoryLimit, WallLimit)):
        await session.call("run", (endless,))

    counting.cancel()
    assert turns > 1


FLOODS = {
    "many lines": ("for _ in range(10**6): print()", CallLimit, {"calls": 1000}),
    "one line": ("print('x' * 10**7)", LogLimit, {}),
    "no end of a line": ("while True: print('x' * 1000, end='')", LogLimit, {}),
    "errors": ("while True: print('x' * 1000, file=sys.stderr)", LogLimit, {}),
    "descriptors": ("while True: os.write(1, b'x' * 1000)", GuestAborted, {}),
    "log records": (
        "import logging\nlogging.basicConfig()\nwhile True: logging.error('x' * 1000)",
        LogLimit, {"cpu": 5.0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FLOODS)
async def test_a_flood_of_lines_is_dammed(ring: Ring, what: str) -> None:
    body, error, limits = FLOODS[what]
    await ring.attack(body, error, **limits)
    assert len(ring.owner.text) <= 1 << 20


async def test_every_kind_of_death_lets_go_of_its_session(ring: Ring) -> None:
    import gc
    import weakref

    left = []
    for body in ("while True: pass", "os.abort()", SAY + "say('[7]')", "print('x' * 10**7)"):
        session = await ring.open(body)
        with pytest.raises(IsolateDead):
            await session.call("run", (echo,))
        left.append(weakref.ref(session))
    ring.opened.clear()
    del session

    async with asyncio.timeout(10):  # a thread may be about to let go of what it ran
        while any(one() is not None for one in left):
            gc.collect()
            await asyncio.sleep(0)
