"""Core modules: numbers, text and bytes cross, and what does not fit is refused."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from actors.errors import NoSuchMethod, NotCallable
from facets.isolates.errors import IsolateClosed, LoadError, NotTransferable, WallLimit
from tests.isolates.fake import Owner
from tests.isolates.wasm.conftest import Load

TOOL = """(module
  (import "facets" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 1024))
  (global $count (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $count (i32.const 40)))
  (func (export "alloc") (param $n i32) (result i32)
    (global.get $top)
    (global.set $top (i32.add (global.get $top) (local.get $n))))
  (func (export "count") (result i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (global.get $count))
  (func (export "i32") (param i32) (result i32) (local.get 0))
  (func (export "i64") (param i64) (result i64) (local.get 0))
  (func (export "f32") (param f32) (result f32) (local.get 0))
  (func (export "f64") (param f64) (result f64) (local.get 0))
  (func (export "two") (result i64 f64) (i64.const -5) (f64.const 1.5))
  (func (export "nothing"))
  (func $pair (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32))
            (i64.extend_i32_u (local.get 1))))
  (func (export "text -> str") (param i32 i32) (result i64)
    (call $pair (local.get 0) (local.get 1)))
  (func (export "echo->bytes") (param i32 i32) (result i64)
    (call $pair (local.get 0) (local.get 1)))
  (func (export "second->bytes") (param i64 i32 i32 i32 i32) (result i64)
    (call $pair (local.get 3) (local.get 4)))
  (func (export "say") (param i32 i32) (call $log (local.get 0) (local.get 1)))
  (func (export "say_nowhere") (call $log (i32.const 65530) (i32.const 100)))
  (func (export "wild->bytes") (result i64) (i64.const 0xfffffff0_00000100))
  (func (export "wrong->str") (result i32) (i32.const 0))
  (func (export "vector") (result v128) (v128.const i32x4 0 0 0 0))
  (func (export "_hidden"))
  (func (export "a-b"))
  (func (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (local.get 0)) (else
      (i32.add (call 16 (i32.sub (local.get 0) (i32.const 1)))
               (call 16 (i32.sub (local.get 0) (i32.const 2))))))))
"""
TOOL = TOOL.replace("(call 16 ", "(call $fib ").replace(
    '(func (export "fib")', '(func $fib (export "fib")'
)


@pytest.mark.parametrize(
    ("method", "sent", "comes"),
    [
        ("i32", -(2**31), -(2**31)),
        ("i32", 2**32 - 1, -1),
        ("i32", True, 1),
        ("i64", 2**63 - 1, 2**63 - 1),
        ("i64", 2**64 - 1, -1),
        ("f32", 1.5, 1.5),
        ("f32", math.inf, math.inf),
        ("f64", 0.1, 0.1),
        ("f64", 3, 3.0),
        ("text", "héllo \0 wörld", "héllo \0 wörld"),
        ("text", "", ""),
        ("echo", b"\xff\0", b"\xff\0"),
        ("echo", bytearray(b"x") * 60_000, b"x" * 60_000),
    ],
)
async def test_what_goes_in_comes_out(load: Load, method: str, sent: Any, comes: Any) -> None:
    assert await (await load(TOOL)).call(method, (sent,)) == comes


async def test_several_parameters_and_several_results(load: Load) -> None:
    session = await load(TOOL)
    assert await session.call("second", (2**40, b"first", "sécond")) == "sécond".encode()
    assert await session.call("two") == (-5, 1.5)
    assert await session.call("nothing") is None


@pytest.mark.parametrize(
    ("method", "args", "said"),
    [
        ("i32", (2**32,), "an i32"),
        ("i32", (-(2**31) - 1,), "an i32"),
        ("i32", (1.0,), "an i32"),
        ("i32", (None,), "an i32"),
        ("i64", (2**64,), "an i64"),
        ("f32", (1e300,), "an f32"),
        ("f64", (10**400,), "an f64"),
        ("f64", ("1",), "takes"),
        ("i32", (), "takes"),
        ("i32", (1, 2), "takes"),
        ("nothing", (1,), "takes"),
        ("i32", (b"x",), "takes"),
        ("text", ("\ud800",), "surrogates"),
        ("second", ("x", "y", "z"), "args"),
    ],
)
async def test_what_does_not_fit_is_refused_before_anything_runs(
    load: Load, method: str, args: tuple[Any, ...], said: str
) -> None:
    session = await load(TOOL)
    with pytest.raises(NotTransferable, match=said):
        await session.call(method, args)
    with pytest.raises(NotTransferable, match="named"):
        await session.call("i32", (), {"x": 1})
    assert await session.call("i32", (1,)) == 1


@pytest.mark.parametrize(
    ("method", "error", "said"),
    [
        ("vector", NotCallable, "v128"),
        ("wrong", NotCallable, "one i64"),
        ("_hidden", NotCallable, "underscore"),
        ("_initialize", NotCallable, "underscore"),
        ("none", NoSuchMethod, "there is alloc, count"),
    ],
)
async def test_what_cannot_be_called_says_why(
    load: Load, method: str, error: type[Exception], said: str
) -> None:
    session = await load(TOOL)
    assert method not in session.methods
    with pytest.raises(error, match=said):
        await session.call(method)
    with pytest.raises(NotCallable, match="await"):
        await anext(session.stream("i32", (1,)))


async def test_it_is_set_up_once_and_remembers_until_it_ends(load: Load) -> None:
    one, two = await load(TOOL), await load(TOOL)
    assert [await one.call("count") for _ in range(3)] == [41, 42, 43]
    assert await two.call("count") == 41
    one.close()
    with pytest.raises(IsolateClosed):
        await one.call("count")
    assert await two.call("count") == 42


async def test_a_function_may_be_the_target(load: Load) -> None:
    assert await (await load(TOOL, "fib")).call("", (10,)) == 55
    assert await (await load(TOOL, "a-b")).call("") is None
    with pytest.raises(LoadError, match=r"no 'main'; there is .*fib"):
        await load(TOOL, "main")


async def test_what_it_prints_reaches_the_owner(load: Load, owner: Owner) -> None:
    session = await load(TOOL)
    await session.call("say", ("grüße",))
    await session.call("say", (b"\xff",))
    assert owner.printed == [("stdout", "grüße\n"), ("stdout", "\ufffd\n")]


async def test_calls_made_at_once_run_in_order(load: Load) -> None:
    session = await load(TOOL)
    calls = [session.call("count") for _ in range(20)]
    slow = asyncio.ensure_future(session.call("fib", (24,)))
    assert await asyncio.gather(*calls) == list(range(41, 61))
    assert await slow == 46368
    assert session.pending == 0
    await session.idle()


async def test_a_caller_that_leaves_takes_back_only_what_has_not_begun(load: Load) -> None:
    session = await load(TOOL)
    running = asyncio.ensure_future(session.call("fib", (30,)))
    waiting = asyncio.ensure_future(session.call("count"))
    kept = asyncio.ensure_future(session.call("count"))
    await asyncio.sleep(0)
    assert session.pending == 3
    running.cancel()
    waiting.cancel()
    assert await kept == 41
    assert running.cancelled()


async def test_a_call_that_waits_too_long_fails_alone(load: Load) -> None:
    session = await load(TOOL, limits={"wall": 0.05})
    session._running = blocked = _pending()
    with pytest.raises(WallLimit) as caught:
        await session.call("count")
    assert caught.value.survived
    session._running = None
    assert blocked.done is False
    assert await session.call("count") == 41


def _pending() -> Any:
    from facets.isolates.calls import Pending

    return Pending(0, streams=False)


async def test_env_and_props_are_refused_as_it_could_not_see_them(load: Load) -> None:
    with pytest.raises(LoadError, match="env"):
        await load(TOOL, env={"key": 1})
    with pytest.raises(LoadError, match="props"):
        await load(TOOL, props=1)
