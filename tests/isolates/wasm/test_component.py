"""Components: WIT types are Python values, both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from actors.errors import NotCallable
from facets.isolates.codec import Record
from facets.isolates.errors import GuestError, LoadError, NotTransferable, OutputLimit
from tests.isolates.fake import Owner
from tests.isolates.wasm.conftest import Load

# Every function returns its argument. A list or a string is a pointer and a length, so one core
# function serves them all; the others write their flat parameters the way they lie in memory.
ECHO = """(component
  (import "facets:wasm/host@1.0.0" (instance $host
    (export "log" (func (param "text" string)))))
  (core module $libc
    (memory (export "memory") 40)
    (global $top (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.get $top)
      (global.set $top (i32.add (global.get $top) (local.get 3)))))
  (core instance $libc (instantiate $libc))
  (core func $log (canon lower (func $host "log") (memory (core memory $libc "memory"))))
  (core module $m
    (import "libc" "memory" (memory 40))
    (import "host" "log" (func $log (param i32 i32)))
    (func (export "one") (param i32) (result i32) (local.get 0))
    (func (export "f32") (param f32) (result f32) (local.get 0))
    (func (export "two") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0))
      (i32.store (i32.const 20) (local.get 1))
      (i32.const 16))
    (func (export "three") (param i32 i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0))
      (i32.store (i32.const 20) (local.get 1))
      (i32.store (i32.const 24) (local.get 2))
      (i32.const 16))
    (func (export "point") (param i32 f64 i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0))
      (f64.store (i32.const 24) (local.get 1))
      (i32.store (i32.const 32) (local.get 2))
      (i32.store (i32.const 36) (local.get 3))
      (i32.const 16))
    (func (export "say") (param i32 i32) (call $log (local.get 0) (local.get 1)))
    (func (export "many") (param i32) (result i32)
      (i32.store (i32.const 16) (i32.const 65536))
      (i32.store (i32.const 20) (local.get 0))
      (i32.const 16)))
  (core instance $m (instantiate $m
    (with "libc" (instance $libc))
    (with "host" (instance (export "log" (func $log))))))
  (alias core export $libc "memory" (core memory $mem))
  (alias core export $libc "realloc" (core func $realloc))

  (type $point (record (field "x" s32) (field "high-y" f64) (field "name" string)))
  (export $point' "point" (type $point))
  (type $color (enum "red" "dark-blue"))
  (export $color' "color" (type $color))
  (type $perms (flags "read" "write-all"))
  (export $perms' "perms" (type $perms))
  (type $shape (variant (case "circle" u32) (case "named" string) (case "nothing")))
  (export $shape' "shape" (type $shape))
  FUNCTIONS
)"""
SIMPLE = {"bool": "one", "char": "one", "u8": "one", "s8": "one", "s16": "one", "u32": "one"}
FUNCTIONS = {
    **SIMPLE,
    "f32": "f32",
    "string": "two",
    "(list u8)": "two",
    "(list string)": "two",
    "(list f64)": "two",
    "(list (list s16))": "two",
    "(list $point')": "two",
    "(list (tuple bool char u64))": "two",
    "(list (option string))": "two",
    "(list (result u32 (error string)))": "two",
    "(list $color')": "two",
    "(tuple u8 char bool)": "three",
    "(option u32)": "two",
    "(option (option u32))": "three",
    "(result u32 (error string))": "three",
    "$point'": "point",
    "$color'": "one",
    "$perms'": "one",
    "$shape'": "three",
}


def _name(kind: str) -> str:
    return "echo-" + "-".join(
        kind.replace("(", " ").replace(")", " ").replace("$", "").replace("'", "").split()
    )


def _functions() -> str:
    lines = [
        f'(func (export "{_name(kind)}") (param "value" {kind}) (result {kind})'
        f' (canon lift (core func $m "{core}") (memory $mem) (realloc $realloc)))'
        for kind, core in FUNCTIONS.items()
    ]
    many = '(canon lift (core func $m "many") (memory $mem) (realloc $realloc))'
    lines += [
        '(func (export "say") (param "text" string)'
        ' (canon lift (core func $m "say") (memory $mem) (realloc $realloc)))',
        f'(func (export "zeros") (param "count" u32) (result (list u64)) {many})',
        f'(func (export "octets") (param "count" u32) (result (list u8)) {many})',
        f'(func (export "empties") (param "count" u32) (result (list string)) {many})',
        '(func $two (param "a-b" u32) (param "c" u32) (result (tuple u32 u32))'
        ' (canon lift (core func $m "two") (memory $mem) (realloc $realloc)))',
        '(instance $ops (export "pair-up" (func $two)))',
        '(export "docs:calc/ops@0.1.0" (instance $ops))',
    ]
    return "\n  ".join(lines)


COMPONENT = ECHO.replace("FUNCTIONS", _functions())


@dataclass
class Point:
    x: int
    high_y: float
    name: str


def record(**fields: Any) -> Record:
    return Record("record", fields)


@pytest.mark.parametrize(
    ("kind", "sent", "comes"),
    [
        ("bool", True, True),
        ("char", "ß", "ß"),
        ("u8", 255, 255),
        ("s8", -128, -128),
        ("s16", -5, -5),
        ("u32", 2**32 - 1, 2**32 - 1),
        ("f32", 2.5, 2.5),
        ("string", "grüße \0 ✓", "grüße \0 ✓"),
        ("string", "", ""),
        ("(list u8)", b"\0\xff" * 500, b"\0\xff" * 500),
        ("(list u8)", b"", b""),
        ("(list string)", ["a", "", "ü"], ["a", "", "ü"]),
        ("(list f64)", [1, 2.5], [1.0, 2.5]),
        ("(list f64)", [], []),
        ("(list (list s16))", [[1], [], [-2, 3]], [[1], [], [-2, 3]]),
        ("(list $point')", [Point(1, 2.0, "a")], [record(x=1, high_y=2.0, name="a")]),
        ("(list (tuple bool char u64))", [(True, "x", 2**64 - 1)], [(True, "x", 2**64 - 1)]),
        ("(list (option string))", ["a", None], ["a", None]),
        (
            "(list (result u32 (error string)))",
            [("ok", 1), ("err", "no")],
            [("ok", 1), ("err", "no")],
        ),
        ("(list $color')", ["red", "dark-blue"], ["red", "dark-blue"]),
        ("(tuple u8 char bool)", (1, "a", False), (1, "a", False)),
        ("(option u32)", 7, 7),
        ("(option u32)", None, None),
        ("(result u32 (error string))", ("ok", 7), 7),
        ("$point'", {"x": 1, "high_y": 2.5, "name": "ü"}, record(x=1, high_y=2.5, name="ü")),
        ("$point'", Point(-1, 2.5, ""), record(x=-1, high_y=2.5, name="")),
        ("$color'", "dark-blue", "dark-blue"),
        ("$perms'", {"read", "write-all"}, {"read", "write-all"}),
        ("$perms'", set(), set()),
        ("$shape'", ("circle", 3), ("circle", 3)),
        ("$shape'", ("named", "x"), ("named", "x")),
        ("$shape'", "nothing", "nothing"),
    ],
)
async def test_values_cross_both_ways(load: Load, kind: str, sent: Any, comes: Any) -> None:
    session = await load(COMPONENT)
    method = _name(kind).replace("-", "_")
    assert await session.call(method, (sent,)) == comes
    assert await session.call(method, (), {"value": sent}) == comes


@pytest.mark.parametrize(
    ("kind", "sent", "path"),
    [
        ("bool", 1, "value"),
        ("u8", 256, "value"),
        ("u8", True, "value"),
        ("s8", -129, "value"),
        ("f32", "1", "value"),
        ("char", "ab", "value"),
        ("char", "\ud800", "value"),
        ("string", b"x", "value"),
        ("string", "\ud800", "value"),
        ("(list u8)", [1], "value"),
        ("(list string)", "ab", "value"),
        ("(list string)", ["a", 1], "value[1]"),
        ("(list (list s16))", [[1], [1 << 20]], "value[1][0]"),
        ("(list (option string))", ["a", None, 5], "value[2]"),
        ("(list (result u32 (error string)))", [("ok", "x")], "value[0].ok"),
        ("(tuple u8 char bool)", (1, "a"), "value"),
        ("$point'", {"x": 1, "high_y": 2.5}, "value"),
        ("$point'", {"x": "1", "high_y": 2.5, "name": ""}, "value.x"),
        ("$color'", "green", "value"),
        ("$perms'", {"exec"}, "value"),
        ("$shape'", ("nothing", 1), "value"),
        ("$shape'", ("circle", "x"), "value.circle"),
    ],
)
async def test_what_does_not_fit_says_where_it_stands(
    load: Load, kind: str, sent: Any, path: str
) -> None:
    session = await load(COMPONENT)
    method = _name(kind).replace("-", "_")
    with pytest.raises(NotTransferable) as caught:
        await session.call(method, (sent,))
    assert caught.value.path == path
    for args, kwargs in (((), {}), ((1, 2), {}), ((1,), {"value": 1}), ((), {"other": 1})):
        with pytest.raises(NotTransferable, match="takes"):
            await session.call(method, args, kwargs)


async def test_the_err_of_a_result_is_raised_and_the_component_goes_on(load: Load) -> None:
    session = await load(COMPONENT)
    with pytest.raises(GuestError, match="no such thing") as caught:
        await session.call("echo_result_u32_error_string", (("err", "no such thing"),))
    assert caught.value.fields["value"] == "no such thing"
    assert await session.call("echo_u8", (1,)) == 1


async def test_an_interface_is_a_target_by_its_whole_name_or_its_last_part(load: Load) -> None:
    for target in ("docs:calc/ops@0.1.0", "ops"):
        session = await load(COMPONENT, target)
        assert list(session.methods) == ["pair_up"]
        assert await session.call("pair_up", (1,), {"c": 2}) == (1, 2)
    assert await (await load(COMPONENT, "echo-u8")).call("", (5,)) == 5
    with pytest.raises(LoadError, match=r"there is .*docs:calc/ops"):
        await load(COMPONENT, "other")


async def test_types_that_do_not_cross_make_a_function_uncallable(load: Load) -> None:
    session = await load(COMPONENT)
    with pytest.raises(NotCallable, match="option of an option"):
        await session.call("echo_option_option_u32", (1,))


async def test_what_it_prints_reaches_the_owner(load: Load, owner: Owner) -> None:
    await (await load(COMPONENT)).call("say", ("grüße",))
    assert owner.text == "grüße\n"


async def test_a_large_result_comes_whole(load: Load) -> None:
    session = await load(COMPONENT)
    assert await session.call("zeros", (100_000,)) == [0] * 100_000
    assert await session.call("octets", (1_000_000,)) == bytes(1_000_000)
    assert await session.call("empties", (50_000,)) == [""] * 50_000


@pytest.mark.parametrize(
    ("method", "count"), [("zeros", 200_000), ("octets", 1_100_000), ("empties", 200_000)]
)
async def test_a_result_over_the_limit_kills(load: Load, method: str, count: int) -> None:
    session = await load(COMPONENT, limits={"output": 1 << 20})
    with pytest.raises(OutputLimit):
        await session.call(method, (count,))
    assert not session.alive
