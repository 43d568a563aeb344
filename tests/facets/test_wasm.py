"""Raw WebAssembly from an actor: the same calls as for any other isolate."""

from __future__ import annotations

from typing import Any

import pytest
import wasmtime

from facets import Actor, Limits, LocalRuntime
from facets.errors import CpuLimit, FacetRunsOtherCode, LoadError, NotCallable
from facets.isolates import Code

COUNTER = bytes(
    wasmtime.wat2wasm("""(module
  (import "facets" "log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "counted")
  (global $n (mut i32) (i32.const 0))
  (func (export "count") (result i32)
    (call $log (i32.const 0) (i32.const 7))
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (global.get $n))
  (func (export "add") (param i32 i32) (result i32)
    (i32.add (local.get 0) (local.get 1)))
  (func (export "spin") (loop $l (br $l))))""")
)
OTHER = bytes(wasmtime.wat2wasm('(module (func (export "count") (result i32) (i32.const -1)))'))


class Owner(Actor, kind="wasm-owner"):
    async def shared(self) -> list[int]:
        isolate = self.isolates.get(COUNTER)
        again = self.isolates.get(bytearray(COUNTER))  # type: ignore[arg-type]
        assert isolate is again
        fresh = self.isolates.load({"counter.wasm": COUNTER})
        return [
            await isolate.entrypoint().count(),
            await again.entrypoint().count(),
            await fresh.entrypoint().count(),
            await fresh.entrypoint("count")(),
        ]

    async def add(self, a: int, b: int) -> Any:
        return await self.isolates.run(COUNTER, a, b, entry="add")

    async def facet(self) -> list[Any]:
        isolate = self.isolates.get(COUNTER)
        facet = self.facets.get("counter", isolate.actor(""))
        found = [await facet.count(), await facet.count(), self.facets.stat("counter").output]
        with pytest.raises(NotCallable):
            await facet.kv()
        with pytest.raises(FacetRunsOtherCode):
            self.facets.get("counter", self.isolates.get(OTHER).actor(""))
        other = self.facets.replace("counter", self.isolates.get(OTHER).actor(""))
        return [*found, await other.count()]

    async def recover(self) -> list[Any]:
        isolate = self.isolates.get(COUNTER, limits=Limits(cpu=0.1))
        first = isolate.entrypoint()
        assert await first.count() == 1
        for _ in range(2):
            with pytest.raises(CpuLimit):
                await first.spin()
        facet = self.facets.get("spinner", isolate.actor(""))
        assert await facet.count() == 1
        with pytest.raises(CpuLimit):
            await facet.spin()
        facet = self.facets.get("spinner", isolate.actor(""))
        return [await isolate.entrypoint().count(), await facet.count()]

    async def broken(self) -> None:
        await self.isolates.get(b"\0asm....").entrypoint().anything()


async def test_entry_points_of_one_isolate_share_a_module(runtime: LocalRuntime) -> None:
    assert await runtime.get(Owner, "a").shared() == [1, 2, 1, 1]


async def test_run_calls_one_function(runtime: LocalRuntime) -> None:
    assert await runtime.get(Owner, "a").add(2, 3) == 5


async def test_a_facet_keeps_its_module_until_other_code_takes_its_place(
    runtime: LocalRuntime,
) -> None:
    found = await runtime.get(Owner, "a").facet()
    assert found == [1, 2, ("counted", "counted"), -1]


async def test_a_dead_module_starts_afresh_on_the_next_call(runtime: LocalRuntime) -> None:
    assert await runtime.get(Owner, "a").recover() == [1, 1]


async def test_what_does_not_load_fails_at_its_first_use(runtime: LocalRuntime) -> None:
    with pytest.raises(LoadError, match="does not load"):
        await runtime.get(Owner, "a").broken()


def test_raw_webassembly_stands_alone_and_is_known_by_its_content() -> None:
    code = Code.of(COUNTER)
    assert code == Code.of({"main.wasm": COUNTER})
    assert code != Code.of(OTHER)
    assert code.language == "wasm"
    with pytest.raises(ValueError, match="stands alone"):
        Code.of({"a.wasm": COUNTER, "b.wasm": OTHER})
    with pytest.raises(TypeError, match="not bytes"):
        Code.of({"a.wasm": "text"})
