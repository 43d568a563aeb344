"""Raw WebAssembly that means harm: its own error, and nobody else notices."""

from __future__ import annotations

import asyncio
import faulthandler
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from facets.isolates import native
from facets.isolates.errors import (
    CpuLimit,
    GuestAborted,
    IsolateClosed,
    IsolateDead,
    LoadError,
    LogLimit,
    MemoryLimit,
    OutputLimit,
    StackLimit,
    WallLimit,
)
from facets.isolates.limits import MINIMUM_MEMORY
from facets.isolates.wasm import compiler, compiling, engine, modules
from facets.isolates.wasm.session import WasmSession
from tests.isolates.fake import Owner
from tests.isolates.wasm.conftest import Load, assembled

pytestmark = pytest.mark.usefixtures("healthy")

# One module with many ways to fail: compiled once.
BAD = """(module
  (import "facets" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (table 10 funcref)
  (elem (i32.const 0) $one)
  (type $none (func))
  (func $one (param i32))
  (func (export "ok") (result i32) (i32.const 1))
  (func (export "alloc") (param i32) (result i32) (i32.const 0xfffffff0))
  (func (export "take") (param i32 i32))
  (func (export "spin") (loop $l (br $l)))
  (func $deep (export "deep") (call $deep))
  (func (export "unreachable") (unreachable))
  (func (export "divide") (result i32) (i32.div_s (i32.const 1) (i32.const 0)))
  (func (export "overflow") (result i32) (i32.div_s (i32.const 0x80000000) (i32.const -1)))
  (func (export "convert") (result i32) (i32.trunc_f64_s (f64.const nan)))
  (func (export "outside") (result i32) (i32.load (i32.const -4)))
  (func (export "wide") (memory.fill (i32.const 0) (i32.const 1) (i32.const -1)))
  (func (export "null") (call_indirect (type $none) (i32.const 5)))
  (func (export "mismatch") (call_indirect (type $none) (i32.const 0)))
  (func (export "far") (call_indirect (type $none) (i32.const 500)))
  (func (export "grow") (result i32)
    (loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (memory.size))
  (func (export "grow_table") (result i32)
    (loop $l (br_if $l (i32.ne (table.grow (ref.null func) (i32.const 1000)) (i32.const -1))))
    (table.size))
  (func (export "fill") (loop $l
    (memory.fill (i32.const 0) (i32.const 7) (i32.const 65536)) (br $l)))
  (func (export "flood") (loop $l (call $log (i32.const 0) (i32.const 1000)) (br $l)))
  (func (export "wild_log") (call $log (i32.const 65530) (i32.const 100)))
  (func (export "huge->bytes") (result i64) (i64.const 0x00000000_7fffffff))
  (func (export "wild->bytes") (result i64) (i64.const 0xfffffff0_00000010))
  (func (export "broken->str") (result i64)
    (i32.store8 (i32.const 100) (i32.const 255)) (i64.const 0x00000064_00000001)))
"""


async def _dies(
    session: WasmSession, owner: Owner, method: str, error: type[IsolateDead], *args: Any
) -> IsolateDead:
    """This method kills the isolate with this error; the owner hears it once, later calls too."""
    with pytest.raises(error) as caught:
        await session.call(method, args)
    assert not session.alive
    assert [type(death) for death in owner.deaths] == [error]
    with pytest.raises(error):
        await session.call("ok")
    return caught.value


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("unreachable", "unreachable"),
        ("divide", "divide by zero"),
        ("overflow", "integer overflow"),
        ("convert", "conversion to integer"),
        ("outside", "out of bounds memory access"),
        ("wide", "out of bounds memory access"),
        ("null", "uninitialized element"),
        ("mismatch", "indirect call type mismatch"),
        ("far", "out of bounds table access|undefined element"),
        ("wild_log", "out of bounds memory access"),
        ("wild", "out of the bounds"),
        ("broken", "not UTF-8"),
    ],
)
async def test_every_trap_is_a_death_that_says_what_it_was(
    load: Load, owner: Owner, method: str, said: str
) -> None:
    error = await _dies(await load(BAD), owner, method, GuestAborted)
    assert said.split("|")[0] in error.message or said.split("|")[-1] in error.message
    assert error.fields["trap"]


async def test_a_trap_under_faulthandler_leaves_the_process_alone(load: Load, owner: Owner) -> None:
    was = faulthandler.is_enabled()
    faulthandler.enable(sys.__stderr__)
    try:
        for method in ("unreachable", "outside", "divide"):
            owner.deaths.clear()
            await _dies(await load(BAD), owner, method, GuestAborted)
        owner.deaths.clear()
        await _dies(await load(BAD), owner, "deep", StackLimit)
    finally:
        if not was:
            faulthandler.disable()


async def test_recursion_without_end_is_a_stack_limit(load: Load, owner: Owner) -> None:
    assert isinstance(await _dies(await load(BAD), owner, "deep", StackLimit), RecursionError)


async def test_an_endless_loop_ends_at_the_cpu_limit_and_the_loop_goes_on(
    load: Load, owner: Owner
) -> None:
    session = await load(BAD, limits={"cpu": 0.2})
    other = await load(BAD)
    dying = asyncio.ensure_future(session.call("spin"))
    answers = 0
    while not dying.done():
        assert await other.call("ok") == 1
        answers += 1
        await asyncio.sleep(0)
    with pytest.raises(CpuLimit, match="compute less"):
        await dying
    assert answers > 10


@pytest.mark.parametrize("method", ["spin", "fill"])
async def test_what_does_not_end_is_killed_when_its_time_is_up(
    load: Load, owner: Owner, method: str
) -> None:
    session = await load(BAD, limits={"wall": 0.1})
    error = await _dies(session, owner, method, WallLimit)
    assert not error.fields["survived"]


async def test_those_that_wait_behind_a_call_fail_with_it(load: Load, owner: Owner) -> None:
    session = await load(BAD, limits={"cpu": 0.1})
    calls = [session.call("spin"), *(session.call("ok") for _ in range(5))]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(one) for one in results] == [CpuLimit] * 6
    assert len({id(one) for one in results}) == 6


async def test_an_owner_that_kills_ends_a_spinning_module(load: Load, owner: Owner) -> None:
    session = await load(BAD)
    dying = asyncio.ensure_future(session.call("spin"))
    await asyncio.sleep(0.01)
    session.kill(IsolateDead("enough"))
    with pytest.raises(IsolateDead, match="enough"):
        await dying


async def test_memory_stops_growing_at_the_limit(load: Load) -> None:
    session = await load(BAD, limits={"memory": MINIMUM_MEMORY})
    assert await session.call("grow") <= MINIMUM_MEMORY >> 16
    assert await session.call("grow_table") <= engine.TABLE_ELEMENTS
    assert await session.call("ok") == 1


async def test_many_calls_of_the_host_do_not_hold_the_loop(load: Load) -> None:
    chatty = await load("""(module (import "facets" "log" (func $log (param i32 i32)))
      (memory (export "memory") 1)
      (func (export "chat") (loop $l (call $log (i32.const 0) (i32.const 0)) (br $l))))""")
    calling = asyncio.ensure_future(chatty.call("chat"))
    before = threading.active_count()
    await asyncio.sleep(0)  # its first slice runs here, and hands it to a thread
    assert chatty._runner._on_thread
    assert not calling.done()
    chatty.close()
    with pytest.raises(IsolateClosed):
        await calling
    assert threading.active_count() <= before + 4


async def test_printing_too_much_kills(load: Load, owner: Owner) -> None:
    await _dies(await load(BAD, limits={"logs": 10_000}), owner, "flood", LogLimit)
    assert 0 < len(owner.text) <= 11_000


async def test_a_result_that_is_too_large_kills(load: Load, owner: Owner) -> None:
    await _dies(await load(BAD), owner, "huge", OutputLimit)


async def test_memory_that_the_module_does_not_have_is_never_written_to(
    load: Load, owner: Owner
) -> None:
    await _dies(await load(BAD), owner, "take", GuestAborted, b"x" * 100)


@pytest.mark.parametrize(
    "memory",
    ["(memory 65536)", "(memory 600)", "(table 100000 funcref)", "(table 10000000 externref)"],
)
async def test_asking_for_too_much_at_the_start_is_a_memory_limit(
    load: Load, owner: Owner, memory: str
) -> None:
    with pytest.raises(MemoryLimit, match="asks for too much"):
        await load(f"(module {memory})", limits={"memory": MINIMUM_MEMORY})
    assert [type(one) for one in owner.deaths] == [MemoryLimit]


async def test_more_tables_than_allowed_are_refused(load: Load) -> None:
    tables = "(table 1 funcref)" * 50
    with pytest.raises((MemoryLimit, LoadError)):
        await load(f"(module {tables})")


async def test_a_start_function_that_spins_ends_at_the_limit(load: Load, owner: Owner) -> None:
    spin = "(module (func $spin (loop $l (br $l))) (start $spin))"
    with pytest.raises(CpuLimit):
        await load(spin, limits={"cpu": 0.1})
    with pytest.raises(WallLimit):
        await load(spin, limits={"wall": 0.1})
    setup = '(module (func (export "_initialize") (loop $l (br $l))))'
    with pytest.raises(CpuLimit):
        await load(setup, limits={"cpu": 0.1})
    assert [type(one) for one in owner.deaths] == [CpuLimit, WallLimit, CpuLimit]


async def test_a_start_function_that_traps_does_not_load(load: Load) -> None:
    with pytest.raises(LoadError, match="unreachable"):
        await load("(module (func $f (unreachable)) (start $f))")
    with pytest.raises(LoadError, match="out of bounds"):
        await load('(module (memory 1) (data (i32.const 65530) "1234567890"))')


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"", "not WebAssembly"),
        (b"(module)", "not WebAssembly"),
        (b"\0asm", "not WebAssembly"),
        (b"\0asm\x01\0\0\0\xff\xff\xff", "does not load"),
        (b"\0asm\x0d\0\x01\0\xff\xff\xff", "does not load"),
        (b"\0asm\x63\0\0\0", "does not load"),
        (b"\x7fELF" + bytes(100), "not WebAssembly"),
    ],
)
async def test_bytes_that_are_no_module_do_not_load(load: Load, source: bytes, said: str) -> None:
    with pytest.raises(LoadError, match=said):
        await load(source)


@pytest.mark.parametrize("cut", [10, 60, 200, -1])
async def test_a_module_that_was_cut_does_not_load(load: Load, cut: int) -> None:
    with pytest.raises(LoadError):
        await load(assembled(BAD)[:cut])


@pytest.mark.parametrize(
    ("imports", "named"),
    [
        (
            '(import "wasi_snapshot_preview1" "fd_write" (func (param i32) (result i32)))'
            '(import "env" "abort" (func))',
            "env.abort, wasi_snapshot_preview1.fd_write",
        ),
        ('(import "env" "memory" (memory 1))', "env.memory"),
        ('(import "facets" "call" (func))', "facets.call"),
        ('(import "facets" "log" (func))', "log"),
    ],
)
async def test_imports_are_refused_by_name(load: Load, imports: str, named: str) -> None:
    with pytest.raises(LoadError, match=named):
        await load(f"(module {imports})")


async def test_wasi_imports_of_a_component_are_refused_by_name(load: Load) -> None:
    with pytest.raises(LoadError, match=r"wasi:cli/environment@0.2.0.get-arguments"):
        await load(
            '(component (import "wasi:cli/environment@0.2.0" (instance'
            ' (export "get-arguments" (func (result (list string)))))))'
        )


@pytest.mark.parametrize(
    "feature",
    [
        "(memory 1 2 shared)",
        "(memory 1) (memory 1)",
        "(memory i64 1)",
        "(type (struct (field i32)))",
        "(tag)",
        "(func (param (ref func)))",
    ],
)
async def test_what_would_escape_a_limit_does_not_compile(load: Load, feature: str) -> None:
    with pytest.raises(LoadError, match="does not load"):
        await load(f"(module {feature})")


async def test_a_component_cannot_make_the_host_hold_more_than_it_holds(
    load: Load, owner: Owner
) -> None:
    # A hundred thousand lists that are all the same bytes: 6 GiB, if they were copied.
    component = """(component
      (core module $m (memory (export "memory") 100)
        (func (export "f") (result i32) (local $i i32)
          (loop $l
            (i32.store (i32.add (i32.const 65536) (i32.shl (local.get $i) (i32.const 3)))
              (i32.const 0))
            (i32.store (i32.add (i32.const 65540) (i32.shl (local.get $i) (i32.const 3)))
              (i32.const 65536))
            (br_if $l (i32.lt_u
              (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))
          (i32.store (i32.const 16) (i32.const 65536))
          (i32.store (i32.const 20) (i32.const 100000))
          (i32.const 16)))
      (core instance $i (instantiate $m))
      (func (export "f") (result (list (list u8)))
        (canon lift (core func $i "f") (memory (core memory $i "memory")))))"""
    error = await _dies(await load(component), owner, "f", GuestAborted)
    assert "too much data" in error.message


async def test_too_many_bytes_and_too_many_exports_are_refused(load: Load) -> None:
    with pytest.raises(LoadError, match="at most 16777216 are compiled"):
        await load(b"\0asm\x01\0\0\0" + bytes(compiling.MOST))
    exports = "".join(f'(export "f{n}" (func $f))' for n in range(modules.EXPORTS + 1))
    with pytest.raises(LoadError, match="at most 1000 are loaded"):
        await load(f"(module (func $f) {exports})")


async def test_types_that_unfold_without_end_are_refused(load: Load) -> None:
    pairs = "".join(f"(type $t{n} (tuple $t{n - 1} $t{n - 1}))" for n in range(1, 18))
    inside = f"(type $t0 (tuple u8 u8)){pairs}"
    with pytest.raises(LoadError, match="more than 20000 parts"):
        await load(f"""(component {inside}
          (core module $m (memory (export "memory") 1)
            (func (export "f") (result i32) (i32.const 0)))
          (core instance $i (instantiate $m))
          (func (export "f") (result $t17)
            (canon lift (core func $i "f") (memory (core memory $i "memory")))))""")


async def test_compiling_that_takes_too_long_fails_and_the_loop_goes_on(
    load: Load, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setattr(compiling, "PATIENCE", 0.01)
    opening = asyncio.ensure_future(load("(module (func))"))
    turns = 0
    while not opening.done():
        await asyncio.sleep(0)
        turns += 1
    with pytest.raises(LoadError, match="processor time"):
        await opening
    assert turns > 10
    assert not list(cache.glob("raw-*.native"))


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (-24, "processor time"),
        (-9, "processor time"),
        (-6, "compiler ended"),
        (1, "compiler ended"),
    ],
)
def test_a_compiler_that_ends_says_why(status: int, said: str) -> None:
    assert said in compiling._why(status, "").message


def test_the_compiler_is_bounded_in_time_and_space() -> None:
    import subprocess

    program = (
        "import sys, resource; from facets.isolates.wasm import compiler; compiler.bound();"
        "print(*(resource.getrlimit(one)[1] for one in (resource.RLIMIT_CPU, resource.RLIMIT_AS)))"
    )
    root = str(Path(native.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.split() == [str(compiler.SECONDS), str(compiler.SPACE)]
