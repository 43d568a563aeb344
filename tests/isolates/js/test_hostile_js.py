"""JavaScript that means harm to the runtime around it, or to the host."""

from __future__ import annotations

from typing import Any

import pytest

from facets.isolates.errors import (
    CpuLimit,
    GuestError,
    IsolateDead,
    LoadError,
    MemoryLimit,
    WallLimit,
)
from tests.isolates.conformance.conftest import Guest
from tests.isolates.conformance.test_capabilities import double

pytestmark = pytest.mark.usefixtures("healthy")

TOOL = """
import { Actor, named, sleep } from "facets";
const x = new Map([[1, "x"]]);
%s
export class Tool extends Actor {
  static migrations = ["create table t(n)"];
  async run(n = 1) {
    this.sql("insert into t values (?)", n);
    this.kv.set("k", [n, { a: x }]);
    await sleep(1);
    console.log("said");
    return [this.sql("select n from t").length, this.kv.get("k")];
  }
  async ask(cap) { const got = await cap(named({ x: 2 })); return got; }
  async fail() { throw new RangeError("mine"); }
  async *items() { yield 1; yield { a: 2 }; }
}
"""
EVIL = "const evil = () => { throw 1 };\n"
POLLUTION = {
    "array methods": "for (const k of Object.getOwnPropertyNames(Array.prototype))"
    " if (k !== 'constructor' && k !== 'length') Array.prototype[k] = evil;",
    "object methods": "for (const k of Object.getOwnPropertyNames(Object))"
    " if (typeof Object[k] === 'function') Object[k] = evil;",
    "reflect": "for (const k of Object.getOwnPropertyNames(Reflect)) Reflect[k] = evil;",
    "json": "JSON.parse = JSON.stringify = evil;",
    "strings": "for (const k of ['slice', 'indexOf', 'charCodeAt', 'startsWith', 'toWellFormed'])"
    " String.prototype[k] = evil;",
    "promises": "Promise.prototype.then = function () { throw 1 }; Promise.resolve = () => 1;",
    "maps": "for (const k of ['get', 'set', 'has', 'delete', 'forEach'])"
    " Map.prototype[k] = Set.prototype[k] = evil;",
    "setters": "for (let i = 0; i < 5; i++) Object.defineProperty(Array.prototype, i,"
    " { set() { throw 1 }, get() { return 'evil' } });",
    "object getters": "const empty = { __proto__: null, get() { return undefined }, set() {} };"
    "for (const k of ['$', 'call', 'work', 'id', 'hint', 'value', 'then', 'fields', 'path', 'open',"
    "'items', 'text', 'methods', 'made', 'length', 'failed', 'due', 'get', 'error', 'type'])"
    " Object.defineProperty(Object.prototype, k, empty);",
    "toJSON": "Object.prototype.toJSON = Array.prototype.toJSON = () => 'evil';"
    " String.prototype.toJSON = Number.prototype.toJSON = () => 'evil';",
    "iterators": "Array.prototype[Symbol.iterator] = function* () { throw 1 };",
    "regexps": "RegExp.prototype.exec = RegExp.prototype.test = evil;",
    "globals": "globalThis.Map = globalThis.Error = globalThis.Promise = globalThis.Uint8Array ="
    " globalThis.String = globalThis.BigInt = undefined;",
    "generators": "const g = Object.getPrototypeOf(async function* () {}).prototype;"
    " g.next = g.return = evil;",
    "errors": "Error.prototype.toString = evil;"
    " Object.defineProperty(Error.prototype, 'name', { get() { return 'Error' } });",
    "functions": "Function.prototype.call = Function.prototype.apply = Function.prototype.bind ="
    " evil;",
}


@pytest.mark.parametrize("how", POLLUTION)
async def test_a_tool_that_changes_the_language_does_not_change_the_runtime(
    guest_js: Guest, how: str
) -> None:
    session = await guest_js.open(TOOL % (EVIL + POLLUTION[how]))

    assert await session.call("run", (5,)) == [1, [5, {"a": {1: "x"}}]]
    with pytest.raises(ValueError, match="mine"):
        await session.call("fail")
    assert [item async for item in session.stream("items")] == [1, {"a": 2}]
    assert await session.call("ask", (double,)) == 4
    assert guest_js.owner.text == "said\n"
    assert guest_js.owner.values("select n from t") == [5]


FROZEN = [
    "facets.Actor.prototype.sql = 1",
    "Object.defineProperty(facets.Actor.prototype, 'sql', {value: 1})",
    "facets.Actor.migrations.push('x')",
    "facets.errors.Mine = 1",
    "facets.errors.KeyError = Error",
    "facets.Rows.prototype.value = 1",
    "Object.setPrototypeOf(facets.Actor, null)",
    "Object.setPrototypeOf(facets.Actor.prototype, {})",
    "new facets.Actor().sql.many = 1",
    "new facets.Actor().kv.get = 1",
    "new facets.Actor().fs.write = 1",
    "new facets.Actor().sql = 1",
    "facets.sleep = 1",
]


@pytest.mark.parametrize("statement", FROZEN)
async def test_the_runtimes_own_objects_cannot_be_changed(run: Any, statement: str) -> None:
    with pytest.raises(TypeError):
        await run(statement)


NOWHERE = [
    "return typeof hostCall",
    "return typeof ask",
    "return typeof globalThis.__facets",
    "return typeof require",
    "return typeof process",
    "return typeof std",
    "return typeof os",
    "return typeof WebAssembly",
    "return typeof SharedArrayBuffer",
    "return typeof Atomics",
    "return typeof new Function('return typeof pump')()",
    "return typeof (0, eval)('typeof calls')",
    "return typeof import.meta.url",
]


@pytest.mark.parametrize("body", NOWHERE)
async def test_there_is_no_way_out_by_name(run: Any, body: str) -> None:
    assert await run(body) in {"undefined", "string"}


@pytest.mark.parametrize(
    "body",
    [
        "return (() => {}).caller",
        "return arguments.callee",
        "const e = new Error(); return e.stack.includes('runtime')",
        "return String(facets.sleep)",
        "return facets.Actor.toString()",
    ],
)
async def test_what_shows_of_the_runtime_is_text(run: Any, body: str) -> None:
    try:
        got = await run(body)
    except TypeError:
        return
    assert got is None or isinstance(got, bool | str)


async def test_the_runtimes_module_cannot_be_replaced(guest_js: Guest) -> None:
    with pytest.raises(ValueError, match="module"):
        await guest_js.open({"facets": "export class Actor {}", "main.js": ""})
    session = await guest_js.open(
        {
            "main.js": "import { Actor } from 'facets';"
            "export const main = () => typeof new Actor().sql;",
            "facets.js": "export class Actor {}",
        },
        "main",
        actor=False,
    )
    assert await session.call("") == "function"


KILLS = [
    ("for (;;);", CpuLimit, {"cpu": 0.05}),
    ("/^(a+)+$/.test('a'.repeat(40) + 'b')", CpuLimit, {"cpu": 0.05}),
    ("'x'.repeat(1e6).split('').map((_, i, a) => a.join())", (CpuLimit, MemoryError), {"cpu": 0.1}),
    ("2n ** (2n ** 30n)", (CpuLimit, GuestError, MemoryLimit), {"cpu": 0.05}),
    ("for (;;) await null;", WallLimit, {"wall": 0.05}),
    ("const f = () => Promise.resolve().then(f); f(); await new Promise(() => {})", WallLimit,
     {"wall": 0.05}),
    ("const f = () => { queueMicrotask(f); queueMicrotask(f) }; f(); await new Promise(() => {})",
     (WallLimit, MemoryLimit, MemoryError, CpuLimit), {"wall": 0.2}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "error", "limits"), KILLS, ids=[one[0][:20] for one in KILLS])
async def test_what_does_not_end_is_ended(
    run: Any, body: str, error: Any, limits: dict[str, float]
) -> None:
    with pytest.raises(error):
        await run(body, limits=limits)
    assert await run("return 1") == 1


MEMORY = [
    "const a = []; for (;;) a.push('x'.repeat(1e5) + a.length)",
    "let s = 'x'; for (;;) s += s",
    "return new Uint8Array(2 ** 32 - 1)",
    "return new Array(2 ** 26).fill(1).map((x) => ({ x }))",
    "const m = new Map(); for (let i = 0; ; i++) m.set(i, [i])",
    "const a = []; for (;;) a.push(facets.sleep(1e9))",
    "const s = 'é'.repeat(2 ** 23); return [s, s, s]",
    "return new Uint8Array(30 << 20)",
    "console.log('x'.repeat(2 ** 25))",
]


@pytest.mark.parametrize("body", MEMORY, ids=[one[:24] for one in MEMORY])
async def test_memory_is_bounded_whatever_eats_it(run: Any, body: str) -> None:
    limits = {"memory": 32 << 20, "output": 64 << 20, "logs": 64 << 20, "cpu": 20.0}
    with pytest.raises((MemoryError, IsolateDead, GuestError)) as caught:
        await run(body, limits=limits)
    assert isinstance(
        caught.value, MemoryError | TypeError | ValueError | RuntimeError | IsolateDead
    ), caught
    assert await run("return 1") == 1


async def test_a_message_for_which_there_is_no_memory_left_ends_the_isolate(
    guest_js: Guest,
) -> None:
    session = await guest_js.open(
        "const kept = []; export async function fill() { try { for (;;) kept.push("
        "new Uint8Array(1e5)) } catch { return 1 } }; export async function echo(x) { return x }",
        "",
        actor=False,
        limits={"memory": 32 << 20},
    )
    assert await session.call("fill") == 1

    with pytest.raises(MemoryLimit):
        await session.call("echo", ("x" * (4 << 20),))
    assert [type(death) for death in guest_js.owner.deaths] == [MemoryLimit]


@pytest.mark.parametrize(
    "thrown",
    [
        "null", "undefined", "1", "'text'", "Symbol()", "{}", "[]", "() => 1",
        "new Proxy({}, { get() { throw 1 } })",
        "new Proxy(new Error('x'), { getPrototypeOf() { throw 1 } })",
        "{ get name() { throw 1 }, get message() { throw 1 }, get stack() { throw 1 } }",
        "Object.assign(new Error('x'), { name: 5, stack: {} })",
        "Object.assign(new Error('x'), { fields: { a: () => 1 } })",
        "new AggregateError([new Error('a')], 'x')",
        "(() => { const e = new Error('x'); e.cause = e; return e })()",
        "new Error('x'.repeat(1e6))",
    ],
)  # fmt: skip
async def test_whatever_is_thrown_arrives_as_a_guests_error(run: Any, thrown: str) -> None:
    with pytest.raises(GuestError) as caught:
        await run(f"throw ({thrown})")
    assert len(str(caught.value)) < 10_000


@pytest.mark.parametrize("kind", ["JournalFailed", "KeyboardInterrupt", "SystemExit", "OwnerGone"])
async def test_no_name_makes_an_error_that_the_host_would_mistake(run: Any, kind: str) -> None:
    with pytest.raises(GuestError) as caught:
        await run(f"class {kind} extends Error {{ name = '{kind}' }}; throw new {kind}('x')")
    assert [cls.__name__ for cls in type(caught.value).__mro__[1:3]] == [
        "GuestError",
        "IsolateError",
    ]


async def test_a_thenable_that_never_settles_is_only_a_wait(run: Any) -> None:
    with pytest.raises(WallLimit) as caught:
        await run("return { then() {} }", limits={"wall": 0.05})
    assert caught.value.survived


async def test_a_load_that_does_not_end_is_ended(guest_js: Guest) -> None:
    with pytest.raises(CpuLimit):
        await guest_js.open("for (;;);", limits={"cpu": 0.05})
    with pytest.raises(CpuLimit):
        await guest_js.open("for (;;) await null;", limits={"cpu": 0.4})
    with pytest.raises((LoadError, MemoryError)):
        await guest_js.open("const a = []; for (;;) a.push(new Uint8Array(1e6));")
