"""Guests that lie about what they hold: each is killed or refused, and nobody else is hurt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from facets.capabilities.marked import capability
from facets.isolates import serving
from facets.isolates.errors import (
    CallLimit,
    GuestError,
    IsolateDead,
    NotTransferable,
    OutputLimit,
    ProtocolViolation,
)
from facets.isolates.own import Own
from tests.isolates.conftest import Open
from tests.isolates.fake import Owner

pytestmark = pytest.mark.usefixtures("healthy")

TOOL = """
import asyncio
from facets import Actor
from isolate import capabilities
from wit_world.imports import host

def say(text): capabilities._current[0]._calls.out.append(text)

class Tool(Actor):
    async def ok(self): return "ok"
    async def raw(self, cap, *texts):
        self.kept = cap
        for text in texts: say(text)
        await asyncio.sleep(0)
    async def wait(self, cap, *texts):
        for text in texts: say(text)
        await asyncio.sleep(1000)
    async def keep(self, cap): self.kept = cap
    async def again(self): return await self.kept()
    async def call(self, cap, *args): return await cap(*args)
    async def sync(self, text): return host.call(text)
    async def value(self, text): capabilities._current[0]._calls.out.append(text)
    async def deep(self, cap):
        value = []
        for _ in range(200): value = [value]
        return await cap(value)
    async def big(self, cap, n): return await cap("x" * n)
    async def storm(self, cap, n):
        for i in range(1, n + 1): say(f'["call",{i},1,"",[],{{}}]')
        await asyncio.sleep(1000)
    async def reenter(self, cap, n): return await cap(self.name, n)
    async def swallow(self, cap):
        try: await cap()
        except BaseException: return "went on"
"""


@capability
async def double(x: int = 1) -> int:
    return 2 * x


@capability
async def numbers() -> AsyncIterator[int]:
    for i in range(1000):
        yield i


@capability
async def forever() -> None:
    await asyncio.Event().wait()


LIES: dict[str, list[str]] = {
    "a handle that it does not hold": ['["call",1,99,"",[],{}]'],
    "a negative handle": ['["call",1,-1,"",[],{}]'],
    "a handle that is no number": ['["call",1,"1","",[],{}]', '["call",1,true,"",[],{}]'],
    "a handle as a fraction": ['["call",1,1.0,"",[],{}]'],
    "the runtime's services where there are none": ['["call",1,0,"facets.get",[],{}]'],
    "a number used twice": ['["call",5,1,"",[],{}]', '["call",5,1,"",[],{}]'],
    "a number that falls": ['["call",5,1,"",[],{}]', '["call",4,1,"",[],{}]'],
    "a number that is none": ['["call","1",1,"",[],{}]'],
    "a method that is no text": ['["call",1,1,["a"],[],{}]'],
    "arguments that are no list": ['["call",1,1,"",{},{}]'],
    "named arguments that are no dict": ['["call",1,1,"",[],[]]'],
    "too few parts": ['["call",1,1]'],
    "too many parts": ['["call",1,1,"",[],{},1,2]'],
    "an argument that is a forged handle": ['["call",1,1,"",[{"$":["r",99]}],{}]'],
    "an argument that is the runtime": ['["call",1,1,"",[{"$":["r",0]}],{}]'],
    "an argument that is a malformed handle": ['["call",1,1,"",[{"$":["r",[1]]}],{}]'],
    "an export without a number": ['["call",1,1,"",[{"$":["g","x",{}]}],{}]'],
    "an export that is not described": ['["call",1,1,"",[{"$":["g",1]}],{}]'],
    "an export of a strange kind": [
        '["call",1,1,"",[{"$":["g",1,{"kind":"class","name":"x","methods":{}}]}],{}]'
    ],
    "an export with a strange method": [
        '["call",1,1,"",[{"$":["g",1,{"kind":"object","name":"x","methods":{"a":"get"}}]}],{}]'
    ],
    "an export with a name that is too long": [
        '["call",1,1,"",[{"$":["g",1,{"kind":"object","methods":{},"name":"%s"}]}],{}]'
        % ("x" * 300)
    ],
    "credit for a call that was never made": ['["more",7,1]'],
    "no credit": ['["call",1,1,"",[],{}]', '["more",1,0]'],
    "negative credit": ['["call",1,1,"",[],{}]', '["more",1,-5]'],
    "credit without an end": [
        '["call",1,1,"",[],{}]', '["more",1,1048576]', '["more",1,1048576]', '["more",1,1048576]'
    ],
    "credit that is no number": ['["call",1,1,"",[],{}]', '["more",1,"all"]'],
    "a cancel of a call that was never made": ['["cancel",7]'],
    "a cancel of nothing": ['["cancel"]'],
    "a drop of what it does not hold": ['["drop",[[99,1]]]'],
    "a drop of more than it was given": ['["drop",[[1,2]]]'],
    "a drop of nothing": ['["drop",[[1,0]]]'],
    "a negative drop": ['["drop",[[1,-1]]]'],
    "a drop of the runtime": ['["drop",[[0,1]]]'],
    "a drop twice": ['["drop",[[1,1]]]', '["drop",[[1,1]]]'],
    "a drop that is no list": ['["drop",5]'],
    "a use after the drop": ['["drop",[[1,1]]]', '["call",1,1,"",[],{}]'],
    "an answer in the host's name": ['["ans",1,1]'],
    "a revocation in the host's name": ['["revoke",1]'],
}  # fmt: skip


@pytest.mark.parametrize("lie", [*LIES])
async def test_a_lie_kills(start: Open, owner: Owner, lie: str) -> None:
    session = await start(TOOL)

    with pytest.raises(ProtocolViolation):
        await session.call("raw", (double, *LIES[lie]))

    assert not session.alive
    assert [type(death) for death in owner.deaths] == [ProtocolViolation]
    assert not any(asked.grant.handle != 1 for asked in owner.asked)


async def test_a_handle_of_another_isolate_means_nothing(start: Open) -> None:
    rich, poor = await start(TOOL), await start(TOOL)
    await rich.call("keep", (double,))

    with pytest.raises(ProtocolViolation):
        await poor.call("wait", (None, '["call",1,1,"",[],{}]'))
    assert await rich.call("again") == 2


async def test_a_handle_is_never_given_out_twice(start: Open) -> None:
    session = await start(TOOL)
    for _ in range(3):
        await session.call("call", (double, 1))
    await session.call("keep", (double,))

    with pytest.raises(ProtocolViolation):
        await session.call("wait", (None, '["call",100,1,"",[],{}]'))


async def test_a_revoked_handle_is_refused_also_in_raw(start: Open, owner: Owner) -> None:
    session = await start(TOOL)
    called: list[int] = []
    revocable = capability(called.append)
    await session.call("keep", (revocable,))
    revocable.revoke()

    await session.call("raw", (None, '["call",1,1,"",[1],{}]'))

    assert called == []
    assert session.alive


async def test_letting_go_in_mid_call_does_not_keep_it_from_being_revoked(start: Open) -> None:
    session = await start(TOOL)
    began, ended = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    revocable = capability(run)
    texts = ('["call",1,1,"",[],{}]', '["drop",[[1,1]]]')
    waiting = asyncio.create_task(session.call("wait", (revocable, *texts)))
    await began.wait()
    revocable.revoke()
    await ended.wait()

    session.close()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_an_item_comes_only_for_credit(start: Open) -> None:
    made: list[int] = []

    @capability
    async def endless() -> AsyncIterator[int]:
        while True:
            made.append(1)
            yield 1

    session = await start(TOOL, limits={"wall": 0.5})
    waiting = asyncio.create_task(
        session.call("wait", (endless, '["call",1,1,"",[],{}]', '["more",1,3]'))
    )
    while len(made) < 3:
        await asyncio.sleep(0)
    session.close()
    await asyncio.gather(waiting, return_exceptions=True)

    assert len(made) == 3


@pytest.mark.parametrize(
    "message",
    [
        '[1,1,"own",["facets.list",[],{}]]',
        '[1,1,"own",[5,[],{}]]',
        '[1,1,"own",[]]',
        '[1,1,"sql",["select ?",[{"$":["r",1]}],{}]]',
        '[1,1,"own",["x",[{"$":["r",77]}],{}]]',
    ],
)
async def test_services_and_references_have_no_place_in_storage(start: Open, message: str) -> None:
    session = await start(TOOL)
    await session.call("keep", (double,))

    try:
        answer = await session.call("sync", (message,))
    except ProtocolViolation:
        assert not session.alive
    else:
        assert '[false,{"type":"' in answer


async def test_a_service_that_fails_is_an_error_inside(start: Open, owner: Owner) -> None:
    async def slow() -> int:
        return 1

    owner.own = Own()
    owner.own.offer("slow", slow)
    owner.own.offer("plain", lambda: 5)
    session = await start(TOOL)

    assert await session.call("sync", ('[1,1,"own",["plain",[],{}]]',)) == "[true,5]"
    for name in ("slow", "none", "__class__"):
        said = await session.call("sync", (f'[1,1,"own",["{name}",[],{{}}]]',))
        assert "NotCallable" in said or "NoSuchMethod" in said
    assert session.alive


async def test_deep_arguments_are_refused_and_big_ones_kill(start: Open) -> None:
    session = await start(TOOL, limits={"output": 1 << 20})

    with pytest.raises(NotTransferable, match="nested deeper"):
        await session.call("deep", (double,))
    with pytest.raises(OutputLimit):
        await session.call("big", (double, 2 << 20))


async def test_a_json_bomb_as_an_argument_kills(start: Open) -> None:
    session = await start(TOOL)
    bomb = "[" * 5000 + "]" * 5000

    with pytest.raises(ProtocolViolation):
        await session.call("wait", (double, f'["call",1,1,"",[{{"$":["t",{bomb}]}}],{{}}]'))


async def test_calls_that_are_not_awaited_are_bounded(start: Open, owner: Owner) -> None:
    session = await start(TOOL)

    with pytest.raises(CallLimit):
        await session.call("storm", (forever, serving.PENDING + 1))


async def test_arguments_that_wait_with_their_calls_are_bounded(
    start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await start(
        """
        import asyncio
        from facets import Actor
        class Tool(Actor):
            async def run(self, cap):
                tasks = []
                for _ in range(100):
                    tasks.append(asyncio.create_task(cap("x" * 900_000)))
                    await asyncio.sleep(0.001)
        """,
        limits={"output": 1 << 20, "memory": 256 << 20},
    )

    @capability
    async def hold(text: str) -> None:
        await asyncio.Event().wait()

    with pytest.raises(OutputLimit, match="wait with the isolate's calls"):
        await session.call("run", (hold,))


async def test_answers_that_are_too_large_are_errors_inside(start: Open) -> None:
    @capability
    async def huge() -> bytes:
        return bytes(3 << 20)

    session = await start(TOOL, limits={"output": 1 << 20})

    with pytest.raises(NotTransferable, match="too much for one answer"):
        await session.call("call", (huge,))
    assert await session.call("ok") == "ok"


async def test_answers_that_cannot_cross_are_errors_inside(start: Open) -> None:
    @capability
    async def strange() -> object:
        return {"a": [object()]}

    session = await start(TOOL)

    with pytest.raises(NotTransferable, match=r'result\["a"\]\[0\]'):
        await session.call("call", (strange,))


async def test_a_guest_that_ignores_its_cancellation_is_killed_and_its_calls_end(
    start: Open,
) -> None:
    session = await start(
        TOOL
        + """
    async def stubborn(self, cap):
        while True:
            try: await cap()
            except asyncio.CancelledError: pass
""",
        limits={"wall": 0.2},
    )

    with pytest.raises(IsolateDead):
        await session.call("stubborn", (forever,))
    while len(session._serving):
        await asyncio.sleep(0)


async def test_guests_may_call_each_other_in_circles_until_they_have_had_enough(
    start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "PENDING", 100)
    session = await start(TOOL, limits={"calls": 50})

    @capability
    async def around(name: str, n: int) -> int:
        return await session.call("reenter", (around, n + 1)) if n < 40 else n

    assert await session.call("reenter", (around, 0)) == 40

    @capability
    async def for_ever(name: str, n: int) -> Any:
        return await session.call("reenter", (for_ever, n + 1))

    with pytest.raises(CallLimit, match="awaits none"):
        await session.call("reenter", (for_ever, 0))
    async with asyncio.timeout(10):
        while len(session._serving):
            await asyncio.sleep(0)


async def test_errors_of_a_capability_do_not_choose_classes_inside(start: Open) -> None:
    """The name of an error's class is text, not a way into the guest's modules."""

    class errno(Exception):  # noqa: N801
        pass

    @capability
    async def fails() -> None:
        raise errno("x")

    session = await start(TOOL)

    with pytest.raises(GuestError, match="x") as caught:
        await session.call("call", (fails,))
    assert caught.value.type == "errno"
    assert await session.call("ok") == "ok"
