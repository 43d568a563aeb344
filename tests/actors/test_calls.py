"""Calls: what is open to callers, and what crosses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from actors import Actor, LocalRuntime
from actors.errors import NoSuchMethod, NotActive, NotCallable, NotCopyable, ReservedName


class Desk(Actor):
    shown = "data"

    async def echo(self, value: Any = None, **named: Any) -> Any:
        return (value, named) if named else value

    async def keep(self, value: list[int]) -> list[int]:
        self.kept = value
        return value

    async def kept_now(self) -> list[int]:
        return self.kept

    async def give(self, kind: str) -> Any:
        return {"lock": [threading.Lock()]} if kind == "lock" else (i for i in range(3))

    async def count(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i
            await asyncio.sleep(0)

    async def fail(self) -> None:
        raise LookupError("nothing here")

    async def me(self) -> Any:
        return self

    def plain(self) -> int:
        return 1

    @property
    def shape(self) -> int:
        return 1

    async def _secret(self) -> int:
        return 1


async def test_a_call_returns_what_the_method_returns(runtime: LocalRuntime) -> None:
    desk = runtime.get(Desk, "a")
    assert await desk.echo({"x": [1, (2, b"3")]}) == {"x": [1, (2, b"3")]}
    assert await desk.echo(1, other=2) == (1, {"other": 2})


async def test_an_exception_reaches_the_caller_and_the_actor_goes_on(runtime: LocalRuntime) -> None:
    desk = runtime.get(Desk, "a")
    with pytest.raises(LookupError, match="nothing here"):
        await desk.fail()
    assert await desk.echo(1) == 1


async def test_arguments_and_results_are_copies(runtime: LocalRuntime) -> None:
    desk = runtime.get(Desk, "a")
    mine = [1]
    back = await desk.keep(mine)
    mine.append(2)
    back.append(3)
    assert await desk.kept_now() == [1]


async def test_arguments_are_copied_when_the_call_is_made(runtime: LocalRuntime) -> None:
    desk = runtime.get(Desk, "a")
    mine = [1]
    call = desk.echo(mine)
    mine.append(2)
    assert await call == [1]


@pytest.mark.parametrize("name", ["plain", "shape", "shown", "sql", "exclusive", "on_start"])
async def test_only_async_methods_are_open(runtime: LocalRuntime, name: str) -> None:
    with pytest.raises((NotCallable, NoSuchMethod)):
        await getattr(runtime.get(Desk, "a"), name)()


async def test_a_private_method_is_never_callable(runtime: LocalRuntime) -> None:
    with pytest.raises(NotCallable, match="private"):
        await runtime.get(Desk, "a")._secret()


async def test_a_missing_method_names_the_near_one(runtime: LocalRuntime) -> None:
    with pytest.raises(NoSuchMethod, match="did you mean echo"):
        await runtime.get(Desk, "a").ecko()  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["lock", "generator"])
async def test_a_result_that_cannot_be_copied_says_where(runtime: LocalRuntime, kind: str) -> None:
    with pytest.raises(NotCopyable) as caught:
        await runtime.get(Desk, "a").give(kind)
    if kind == "lock":
        assert caught.value.path == 'result["lock"][0]'


async def test_an_argument_that_cannot_be_copied_says_where(runtime: LocalRuntime) -> None:
    with pytest.raises(NotCopyable, match=r"argument value\[1\]"):
        await runtime.get(Desk, "a").echo([1, threading.Lock()])


async def test_an_async_generator_is_a_stream(runtime: LocalRuntime) -> None:
    desk = runtime.get(Desk, "a")
    assert [i async for i in desk.count(5)] == [0, 1, 2, 3, 4]
    async with aclosing(desk.count(10).__aiter__()) as items:  # type: ignore[type-var]
        assert await anext(items) == 0
    assert runtime.stats().calls == 0


async def test_a_call_of_the_wrong_kind_says_how_to_call(runtime: LocalRuntime) -> None:
    desk = runtime.get(Desk, "a")
    with pytest.raises(NotCallable, match="async for"):
        await desk.count(1)  # type: ignore[misc]
    with pytest.raises(NotCallable, match="await"):
        _ = [i async for i in desk.echo(1)]  # type: ignore[attr-defined]


async def test_calls_can_become_tasks(runtime: LocalRuntime) -> None:
    desk = runtime.get(Desk, "a")
    assert await asyncio.gather(*[desk.echo(i) for i in range(50)]) == list(range(50))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(desk.echo(7))
    assert task.result() == 7


async def test_an_actor_itself_cannot_leave(runtime: LocalRuntime) -> None:
    with pytest.raises(NotCopyable):
        await runtime.get(Desk, "a").me()


async def test_stubs_travel_as_references(runtime: LocalRuntime) -> None:
    class Friend(Actor):
        async def ask(self, desk: Desk, value: int) -> Any:
            return await desk.echo(value), desk

    desk = runtime.get(Desk, "a")
    assert await runtime.get(Friend, "f").ask(desk, 3) == (3, desk)


def test_a_class_may_not_redefine_what_belongs_to_the_runtime() -> None:
    with pytest.raises(ReservedName, match="sql"):
        type("Bad", (Actor,), {"sql": 1})


def test_an_actor_made_by_hand_says_that_it_is_not_running() -> None:
    with pytest.raises(NotActive, match=r"runtime\.get"):
        _ = Desk().sql


async def test_a_call_that_nobody_awaits_is_a_warning(runtime: LocalRuntime) -> None:
    with pytest.warns(RuntimeWarning, match="never awaited"):
        runtime.get(Desk, "a").anything()  # type: ignore[attr-defined]


async def test_a_call_can_be_awaited_once(runtime: LocalRuntime) -> None:
    reply = runtime.get(Desk, "a").missing()  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        await reply
    with pytest.raises(RuntimeError, match="awaited already"):
        await reply


class Slow(Actor):
    async def on_start(self) -> None:
        self.order: list[int] = []
        for _ in range(20):
            await asyncio.sleep(0)

    async def note(self, i: int) -> None:
        self.order.append(i)

    async def noted(self) -> list[int]:
        return self.order


async def test_calls_made_while_an_actor_wakes_start_in_the_order_they_were_made(
    runtime: LocalRuntime,
) -> None:
    slow, calls = runtime.get(Slow, "a"), []
    for i in range(60):
        calls.append(asyncio.ensure_future(slow.note(i)))
        if i % 2:
            await asyncio.sleep(0)
    await asyncio.gather(*calls)
    assert await slow.noted() == list(range(60))
