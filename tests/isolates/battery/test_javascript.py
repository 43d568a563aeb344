"""JavaScript and TypeScript that look for a way out, or send what is not what it seems."""

from __future__ import annotations

from typing import Any

import pytest

from facets.isolates.errors import CpuLimit, LogLimit, NotTransferable, StackLimit
from tests.isolates.battery.conftest import Attack, Ring

LANGUAGES = ["javascript", "typescript"]
IMPORTS = [
    "std", "os", "fs", "node:child_process", "/etc/passwd", "file:///etc/passwd",
    "https://example.com/x.js", "../../main.js", "data:text/javascript,1",
    "facets/../os",
]  # fmt: skip
ESCAPES: dict[str, Attack] = {
    "shared memory": ("new SharedArrayBuffer(8)", NameError, "SharedArrayBuffer"),
    "a wait on memory": ("Atomics.wait(new Int32Array(8), 0, 0)", NameError, "Atomics"),
    "a worker": ("new Worker('x')", NameError, "Worker"),
    "the collector": ("gc()", NameError, "gc"),
    "the engine's own print": ("print('x')", NameError, "print"),
    "the engine's own loader": ("std.loadScript('/etc/passwd')", NameError, "std"),
    "a replaced export": ("(facets as any).Actor = 1", TypeError, "read-only"),
    "a deleted export": ("delete (facets as any).Actor", TypeError, "delete"),
    "the actor's prototype": ("(facets.Actor.prototype as any).mark = 1", TypeError, ""),
}
BOMBS: dict[str, Attack] = {
    "recursion": ("const f = (): any => f(); f()", StackLimit, ""),
    "recursion that catches": ("const f = (): any => { try { f() } finally { f() } }; f()",
                               StackLimit, ""),
    "a getter of itself": ("class A { get x(): any { return this.x } }; return new A().x",
                           StackLimit, ""),
    "brackets": ("return JSON.parse('['.repeat(1e5) + ']'.repeat(1e5))", StackLimit, ""),
    "a deep value as text": ("let o: any = []; for (let i = 0; i < 1e5; i++) o = [o];"
                             " return JSON.stringify(o)", StackLimit, ""),
    "a regular expression": ("return /^(([a-z])+.)+[A-Z]([a-z])+$/.test('a'.repeat(50))",
                             CpuLimit, ""),
    "an array of holes": ("return new Array(2 ** 32 - 1)", CpuLimit, ""),
    "an array with an end": ("const a: any[] = []; a[2 ** 31] = 1; return a", CpuLimit, ""),
    "a buffer": ("return new ArrayBuffer(2 ** 40)", ValueError, "length"),
    "a text": ("return 'x'.repeat(2 ** 29)", MemoryError, ""),
    "a longer text": ("return 'x'.repeat(2 ** 30)", ValueError, "length"),
    "groups": ("return new RegExp('('.repeat(1e5) + ')'.repeat(1e5))", SyntaxError, "captures"),
    "arguments": ("[].concat(...Array(1e5).fill([1]))", ValueError, "arguments"),
    "a deep value": ("let o: any = []; for (let i = 0; i < 1e5; i++) o = [o]; return o",
                     NotTransferable, "deeper"),
    "a value in itself": ("const o: any = {}; o.o = o; return o", NotTransferable, "deeper"),
    "a map in itself": ("const m = new Map(); m.set(m, m); return m", NotTransferable, "deeper"),
    "a set in itself": ("const s = new Set(); s.add(s); return s", NotTransferable, "deeper"),
    "a flood of lines": ("for (;;) console.log('x'.repeat(1e4))", LogLimit, ""),
}  # fmt: skip
DISGUISED: dict[str, Attack] = {
    "a proxy that throws": ("return new Proxy([], { get() { throw new Error('trap') } })",
                            Exception, "trap"),
    "a proxy of doubles": ("return new Proxy({}, { ownKeys() { return ['a', 'a'] } })",
                           TypeError, "duplicate"),
    "what becomes something else": ("return { toJSON() { return { $: ['r', 0] } } }",
                                    NotTransferable, "toJSON"),
    "bytes that lie": ("const t: any = new Uint8Array(8);"
                       " t.__proto__ = { get byteLength() { return 1e9 } }; return t",
                       NotTransferable, "Uint8Array"),
    "a symbol": ("return Symbol('x')", NotTransferable, "symbol"),
    "a map that holds weakly": ("return new WeakMap()", NotTransferable, "WeakMap"),
    "a rejection of nothing": ("await new Promise((_, no) => no(undefined))", Exception, ""),
    "an iterator of nonsense": (
        "for await (const x of { [Symbol.asyncIterator]() { return { next() { return 5 } } } }"
        " as any) {}", TypeError, "iterator"),
    "a wait that is no number": ("await facets.sleep(2n as any)", TypeError, "bigint"),
    "a date before dates": ("return new Date(-8.64e15)", NotTransferable, "year"),
    "a date after dates": ("return new Date(8.64e15)", NotTransferable, "year"),
}  # fmt: skip


def spoken(body: str, language: str) -> str:
    """The attack in this language: JavaScript has no types."""
    if language == "javascript":
        for types in (": any[]", ": any", " as any"):
            body = body.replace(types, "")
    return body


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", IMPORTS)
async def test_a_module_that_leads_outside_does_not_resolve(
    ring: Ring, name: str, language: str
) -> None:
    await ring.attack(f"return await import('{name}')", NameError, "module", language=language)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("what", ESCAPES)
async def test_there_is_nothing_to_escape_with(ring: Ring, what: str, language: str) -> None:
    body, error, says = ESCAPES[what]
    await ring.attack(spoken(body, language), error, says, language=language)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("what", BOMBS)
async def test_a_bomb_goes_off_inside(ring: Ring, what: str, language: str) -> None:
    body, error, says = BOMBS[what]
    time = {} if error is CpuLimit else {"cpu": 5.0}  # a slow machine is not what ends them
    await ring.attack(spoken(body, language), error, says, language=language, **time)


@pytest.mark.parametrize("what", DISGUISED)
async def test_what_is_not_what_it_seems_does_not_cross(ring: Ring, what: str) -> None:
    body, error, says = DISGUISED[what]
    await ring.attack(spoken(body, "javascript"), error, says, language="javascript")


CROSSES: dict[str, tuple[str, Any]] = {
    "a prototype in JSON": ("return JSON.parse('{\"__proto__\": {\"mark\": 1}}')",
                            {"__proto__": {"mark": 1}}),
    "a prototype as a key": ("return { ['__proto__']: 5 }", {"__proto__": 5}),
    "a prototype and a constructor": (
        "return Object.fromEntries([['__proto__', { mark: 1 }], ['constructor', 1]])",
        {"__proto__": {"mark": 1}, "constructor": 1}),
    "a reference": ("return { $: ['r', 1] }", {"$": ["r", 1]}),
    "an export": ("return { $: ['g', 1, {}] }", {"$": ["g", 1, {}]}),
    "an unknown tag": ("return [{ $: ['pickle', 'x'] }, { $: 1 }]",
                       [{"$": ["pickle", "x"]}, {"$": 1}]),
    "bytes of another length": ("const t = new Uint8Array(2);"
                                " Object.defineProperty(t, 'length', { value: 9 }); return t",
                                b"\0\0"),
    "half a character": ("return '\\ud800'", "\ud800"),
    "a thenable in a thenable": ("return { then(a) { a({ then(b) { b({ then: null }) } }) } }",
                                 {"then": None}),
    "a changed console": ("console.log = null; console.constructor.mark = 1; return 1", 1),
    "a changed root": ("({}).__proto__.mark = [].__proto__.mark = 1; globalThis.mark = 1; return 1",
                       1),
    "a rejection that nobody hears": ("Promise.reject(new Error('late')); return 1", 1),
    "a finalizer": ("new FinalizationRegistry(() => { throw 1 }).register({}, 1); return 1", 1),
    "lines that throw": ("console.log(new Proxy({}, { get() { throw 1 } }),"
                         " { toString() { throw 1 } }, Symbol('x')); return 1", 1),
}  # fmt: skip


@pytest.mark.parametrize("what", CROSSES)
async def test_what_looks_like_the_protocol_is_only_data(ring: Ring, what: str) -> None:
    body, value = CROSSES[what]
    assert await ring.run(body, language="javascript") == value


async def test_what_comes_in_pollutes_no_prototype(ring: Ring) -> None:
    sent = {"__proto__": {"mark": 1}, "constructor": {"prototype": {"mark": 2}}}
    body = (
        "const a = Object.assign({}, args[0]); const b = { ...args[0] };"
        " return [({}).mark, [].mark, Object.keys(args[0]).length, typeof b]"
    )
    assert await ring.run(body, sent, language="javascript") == [None, None, 2, "object"]
