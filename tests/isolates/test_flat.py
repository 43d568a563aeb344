"""A guest of many modules and the same guest as one behave alike."""

from __future__ import annotations

import pytest
import wasmtime
from wasmtime.component import Component, Linker

from facets.isolates import image
from facets.isolates.guest import build
from facets.isolates.guest.flat import code
from facets.isolates.guest.flat.around import flattened
from facets.isolates.guest.flat.component import Component as Parts
from facets.isolates.guest.flat.module import parse

LINKED = """
(component
  (core module $main
    (type $binary (func (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (table (export "table") 4 funcref)
    (global (export "base") i32 (i32.const 64))
    (global (export "GOT") (mut i32) (i32.const 1))
    (global (export "count") (mut i32) (i32.const 5))
    (func (export "far") (type $binary)
      local.get 0 local.get 1 i32.const 1 call_indirect (type $binary))
    (data (i32.const 64) "\\07")
  )
  (core module $library
    (type $unary (func (param i32) (result i32)))
    (import "env" "memory" (memory 1))
    (import "env" "table" (table 4 funcref))
    (import "env" "base" (global $base i32))
    (import "env" "GOT" (global $got (mut i32)))
    (import "env" "count" (global $count (mut i32)))
    (import "env" "far" (func $far (param i32 i32) (result i32)))
    (global $seven (export "seven") i32 (i32.add (global.get $base) (i32.const 0)))
    (func $twice (type $unary) local.get 0 i32.const 2 i32.mul)
    (func (export "run") (param $n i32) (result i32) (local $i i64)
      (block $out
        (loop $again (result)
          (br_if $out (i64.ge_s (local.get $i) (i64.const 3)))
          (local.set $i (i64.add (local.get $i) (i64.const 1)))
          (global.set $count (i32.add (global.get $count) (i32.const 1)))
          (br $again)))
      (block (result i32)
        (block
          (block
            (br_table 0 1 1 (local.get $n)))
          (br 1 (i32.const 1000)))
        i32.const 2000)
      (call $far (local.get $n) (i32.const 40))
      i32.add
      (call_indirect (type $unary) (i32.load8_u (global.get $seven)) (i32.const 2))
      i32.add
      (global.get $count)
      i32.add
      (f64.const 1.5) (f32.const 2.5) drop
      i32.trunc_sat_f64_s
      i32.add
      (select (result i32) (i32.const 3) (i32.const 4) (global.get $got))
      i32.add)
    (elem (i32.const 2) $twice)
  )
  (core module $late
    (type $binary (func (param i32 i32) (result i32)))
    (import "env" "table" (table 4 funcref))
    (import "env" "GOT" (global $got (mut i32)))
    (func $sub (export "sub") (type $binary) local.get 0 local.get 1 i32.sub)
    (elem (offset (i32.const 1)) $sub)
  )
  (core instance $m (instantiate $main))
  (core instance $l (instantiate $library (with "env" (instance
    (export "memory" (memory $m "memory"))
    (export "table" (table $m "table"))
    (export "base" (global $m "base"))
    (export "GOT" (global $m "GOT"))
    (export "count" (global $m "count"))
    (export "far" (func $m "far"))))))
  (core instance (instantiate $late (with "env" (instance
    (export "table" (table $m "table"))
    (export "GOT" (global $m "GOT"))))))
  (func (export "run") (param "n" u32) (result u32) (canon lift (core func $l "run")))
)
"""


WITH_A_HOST = """
(component
  (import "log" (func $log (param "text" string)))
  (core module $main
    (memory (export "memory") 1)
    (global (export "base") i32 (i32.const 8))
    (data (i32.const 8) "hello")
  )
  (core module $shim
    (type $log (func (param i32 i32)))
    (table (export "$imports") 1 funcref)
    (func (export "0") (type $log)
      local.get 0 local.get 1 i32.const 0 call_indirect (type $log))
  )
  (core module $library
    (import "host" "log" (func $log (param i32 i32)))
    (import "env" "base" (global $base i32))
    (func (export "run") (result i32) (call $log (global.get $base) (i32.const 5)) i32.const 1)
  )
  (core module $fixups
    (import "" "0" (func $log (param i32 i32)))
    (import "" "$imports" (table 1 funcref))
    (elem (i32.const 0) $log)
  )
  (core instance $s (instantiate $shim))
  (core instance $m (instantiate $main))
  (core instance $l (instantiate $library
    (with "env" (instance $m))
    (with "host" (instance (export "log" (func $s "0"))))))
  (core func $lowered (canon lower (func $log) (memory (core memory $m "memory"))))
  (core instance (instantiate $fixups (with "" (instance
    (export "$imports" (table $s "$imports"))
    (export "0" (func $lowered))))))
  (func (export "run") (result u32) (canon lift (core func $l "run")))
)
"""


def assembled(source: str) -> bytes:
    return bytes(wasmtime.wat2wasm(source))


def results(component: bytes) -> list[int]:
    engine = wasmtime.Engine()
    made = Component(engine, component)
    store = wasmtime.Store(engine)
    run = Linker(engine).instantiate(store, made).get_func(store, "run")
    assert run is not None
    return [run(store, n) for n in (0, 1, 2, 2)]


def test_linked_modules_give_what_they_gave_apart() -> None:
    linked = assembled(LINKED)
    whole = flattened(linked)

    assert (len(Parts(linked).modules), len(Parts(whole).modules)) == (3, 1)
    assert results(whole) == results(linked)


def test_the_host_is_called_through_what_is_not_merged() -> None:
    whole = flattened(assembled(WITH_A_HOST))
    heard: list[str] = []
    engine = wasmtime.Engine()
    store, linker = wasmtime.Store(engine), Linker(engine)
    with linker.root() as root:
        root.add_func("log", lambda _store, text: heard.append(text))
    run = linker.instantiate(store, Component(engine, whole)).get_func(store, "run")

    assert run is not None
    assert (run(store), heard) == (1, ["hello"])
    assert len(Parts(whole).modules) == 2


def test_a_variable_that_others_see_is_refused() -> None:
    shared = WITH_A_HOST.replace(
        '(import "" "0" (func $log (param i32 i32)))',
        '(import "" "0" (func $log (param i32 i32))) (import "" "base" (global i32))',
    ).replace('(export "0" (func $lowered))', '(export "0" (func $lowered))'
              ' (export "base" (global $m "base"))')  # fmt: skip
    with pytest.raises(ValueError, match="shared"):
        flattened(assembled(shared))


def test_a_call_through_the_table_of_the_linker_is_direct() -> None:
    (merged,) = map(parse, Parts(flattened(assembled(LINKED))).modules)
    far, run, sub = 0, 2, 3

    ops = [one for one in merged.bodies[run] if isinstance(one, code.Op)]
    assert [op.about for op in ops if op.code == code.CALL] == [sub]
    assert far not in {op.about for op in ops if op.code == code.CALL}


def test_a_variable_that_nobody_changes_is_a_constant() -> None:
    (merged,) = map(parse, Parts(flattened(assembled(LINKED))).modules)

    used = {op for body in merged.bodies for op in body if isinstance(op, code.Op)}
    count = 2
    assert {op.about for op in used if op.code in (code.GET, code.SET)} == {count}


def test_the_table_is_not_seen_through_where_the_guest_writes_to_it() -> None:
    writes = LINKED.replace(
        "i32.const 2 i32.mul)",
        "(if (i32.eq (local.get 0) (i32.const 9))"
        " (then (table.set 0 (i32.const 1) (ref.null func)))) i32.const 2 i32.mul)",
    )
    linked = assembled(writes)

    assert results(flattened(linked)) == results(linked)
    (merged,) = map(parse, Parts(flattened(linked)).modules)
    far = 0
    calls = [one for one in merged.bodies[2] if isinstance(one, code.Op) and one.code == code.CALL]
    assert [op.about for op in calls] == [far]


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        (
            "(elem (i32.const 2) $twice)",
            "(elem (i32.const 2) $twice) (start 3) (func)",
            "section 8",
        ),
        ("(elem (i32.const 2) $twice)", "(elem (i32.const 2) $twice) (elem func $twice)", "flags"),
        ('(memory (export "memory") 1)', '(memory (export "memory") i64 1)', "64-bit"),
        ("i32.mul)", "i32.mul v128.const i64x2 0 0 drop)", "instruction"),
        ("(core instance $l", "(core instance (instantiate $main)) (core instance $l", "twice"),
    ],
)
def test_what_merging_does_not_know_is_refused(was: str, becomes: str, said: str) -> None:
    component = assembled(LINKED.replace(was, becomes))
    with pytest.raises(ValueError, match=said):
        flattened(component)


def test_the_guest_is_one_module_beside_those_that_bring_in_the_host_and_measure_memory(
    guest: image.Image,
) -> None:
    parts = Parts(build.WASM.read_bytes())
    whole, late, _ = map(parse, parts.modules)

    assert len(whole.memories) == 1
    assert not whole.imported(1)
    assert len(whole.imports) < 100
    assert not late.bodies
