"""What is particular to JavaScript: its globals, values, modules, turns and timers."""

from __future__ import annotations

import asyncio
import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from facets.isolates.errors import GuestError, LoadError, NotTransferable, StackLimit, WallLimit
from storage.errors import StorageError
from tests.isolates.conformance.conftest import Guest

GLOBALS = """Object Function Error EvalError RangeError ReferenceError SyntaxError TypeError
    URIError InternalError AggregateError SuppressedError Iterator Array parseInt parseFloat isNaN
    isFinite queueMicrotask decodeURI decodeURIComponent encodeURI encodeURIComponent escape
    unescape Infinity NaN undefined eval Number Boolean String Math Reflect Symbol DisposableStack
    globalThis BigInt Date RegExp JSON Proxy Map Set WeakMap WeakSet ArrayBuffer Uint8ClampedArray
    Int8Array Uint8Array Int16Array Uint16Array Int32Array Uint32Array BigInt64Array BigUint64Array
    Float16Array Float32Array Float64Array DataView Promise AsyncDisposableStack WeakRef
    FinalizationRegistry DOMException btoa atob performance console setTimeout setInterval
    clearTimeout clearInterval structuredClone crypto TextEncoder TextDecoder
    fetch Headers Response"""


async def test_nothing_is_global_but_the_language_and_what_is_listed(run: Any) -> None:
    names = await run("return Object.getOwnPropertyNames(globalThis)")

    assert set(names) == set(GLOBALS.split())


async def test_the_module_facets_has_these_names(run: Any) -> None:
    assert set(await run("return Object.keys(facets)")) == {
        "Actor", "Row", "Rows", "Start", "capability", "errors", "fetch", "named", "sleep",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1.0", 1),
        ("2 ** 53", 2**53),
        ("-0", -0.0),
        ("10n", 10),
        ("new Date(86400000)", dt.datetime(1970, 1, 2, tzinfo=dt.UTC)),
        ("new Date(NaN)", None),
        ("new Map([['a', 1]])", {"a": 1}),
        ("new Map([[[1].length, new Set([2])]])", {1: {2}}),
        ("new Uint8Array([1, 2]).subarray(1)", b"\x02"),
        ("new Uint8Array([1, 2]).buffer", b"\x01\x02"),
        ("[, 1]", [None, 1]),
        ("Object.create(null)", {}),
        ("new (class extends Map {})([[1, 2]])", {1: 2}),
        ("[new String('x'), new Number(1), new Boolean(false)]", ["x", 1, False]),
        ("'\\ud83d' + '\\ude00'", "\U0001f600"),
    ],
)
async def test_values_have_one_meaning_outside(run: Any, expression: str, value: object) -> None:
    assert await run(f"return {expression}") == value


async def test_an_object_of_a_class_is_a_record_of_its_public_fields(run: Any) -> None:
    record = await run("class P { x = 1; #y = 2; _z = 3; get w() { return 4 } }; return new P()")

    assert repr(record) == "P(x=1)"


@pytest.mark.parametrize(
    "expression",
    [
        "() => 1", "Symbol()", "new Error('x')", "Promise.resolve()", "/x/", "new WeakMap()",
        "new Float64Array(1)", "new DataView(new ArrayBuffer(1))", "class {}",
        "(() => { const a = []; a.push(a); return a })()",
    ],
)  # fmt: skip
async def test_what_is_no_plain_data_stays_inside(run: Any, expression: str) -> None:
    with pytest.raises(NotTransferable):
        await run(f"return {{ a: [{expression}] }}")


async def test_dates_and_decimals_arrive_as_what_they_say(run: Any) -> None:
    got = await run(
        "return args.map((x) => [typeof x, String(x), x instanceof Date && x.getTime()])",
        Decimal("1.50"), dt.date(2024, 1, 2), dt.datetime(1970, 1, 1, 0, 0, 1),
    )  # fmt: skip

    assert [one[:2] for one in got[:2]] == [["object", "1.50"], ["object", "2024-01-02"]]
    assert got[2][2] == 1000


async def test_modules_may_be_json_and_text(guest_js: Guest) -> None:
    session = await guest_js.open(
        {
            "main.js": "import data from './data.json' with { type: 'json' };"
            "import text from './prompts/hello.txt';"
            "export const main = async () => [data, text, await import('./late.js')"
            ".then((m) => m.x)];",
            "data.json": '{"__proto__": {"a": 1}, "b": [2]}',
            "prompts/hello.txt": "Hello `${x}`\n",
            "late.js": "export const x = 3;",
        },
        "main",
        actor=False,
    )

    assert await session.call("") == [{"__proto__": {"a": 1}, "b": [2]}, "Hello `${x}`\n", 3]


@pytest.mark.parametrize(
    ("modules", "says"),
    [
        ({"main.js": "import 'node:fs'"}, "node:fs"),
        ({"main.js": "import '../x.js'", "x.js": ""}, r"\.\./x\.js"),
        ({"main.js": "import x from './x.json'", "x.json": "{"}, "JSON|SyntaxError"),
        ({"main.js": "await new Promise(() => {})"}, "top level"),
        ({"main.js": "import { LocalRuntime } from 'facets'"}, "LocalRuntime"),
        ({"main.js": "import * as std from 'std'"}, "std"),
    ],
)
async def test_a_module_that_cannot_be_imported_is_named(
    guest_js: Guest, modules: dict[str, str], says: str
) -> None:
    with pytest.raises(LoadError, match=says):
        await guest_js.open(modules)


@pytest.mark.parametrize("name", ["tool", "a/../b.js", "/a.js", "a//b.js", "x.py", "a\\b.js", ""])
async def test_a_module_has_the_name_of_a_file(guest_js: Guest, name: str) -> None:
    with pytest.raises(ValueError, match="module"):
        await guest_js.open({name: "", "main.js": ""})


async def test_an_await_that_waits_for_nothing_outside_ends_no_step(guest_js: Guest) -> None:
    session = await guest_js.open(
        "import {Actor} from 'facets'; export class Tool extends Actor {"
        "static migrations = ['create table t(n)'];"
        "async put(n) { this.sql('insert into t values (?)', n); }"
        "async run() { await this.put(1); await null; await this.put(2); throw new Error('x'); } }"
    )

    with pytest.raises(GuestError):
        await session.call("run")

    assert guest_js.owner.values("select n from t") == []


async def test_who_shares_a_step_with_a_failing_call_fails_with_it(guest_js: Guest) -> None:
    session = await guest_js.open(
        "import {Actor, sleep} from 'facets'; export class Tool extends Actor {"
        "static migrations = ['create table t(n)'];"
        "gate = new Promise((ok) => { this.open = ok; });"
        "async waits() { await this.gate; this.sql('insert into t values (1)'); throw Error(1); }"
        "async opens() { this.sql('insert into t values (2)'); this.open(); await sleep(1); } }"
    )

    failed, woke = await asyncio.gather(
        session.call("waits"), session.call("opens"), return_exceptions=True
    )

    assert isinstance(failed, GuestError)
    assert isinstance(woke, StorageError)
    assert guest_js.owner.values("select n from t") == []


async def test_who_is_done_keeps_what_it_wrote_whoever_fails_after(guest_js: Guest) -> None:
    session = await guest_js.open(
        "import {Actor} from 'facets'; export class Tool extends Actor {"
        "static migrations = ['create table t(n)'];"
        "gate = new Promise((ok) => { this.open = ok; });"
        "async waits() { await this.gate; for (let i = 0; i < 9; i++) await null;"
        "this.sql('insert into t values (1)'); throw new Error(1); }"
        "async opens() { this.sql('insert into t values (2)'); this.open(); } }"
    )

    failed, done = await asyncio.gather(
        session.call("waits"), session.call("opens"), return_exceptions=True
    )
    assert (type(failed).__name__, done) == ("Error", None)
    assert guest_js.owner.values("select n from t") == [2]


async def test_timers_run_in_order_and_can_be_taken_back(run: Any) -> None:
    assert await run(
        """
        const seen = [];
        setTimeout((x) => seen.push(x), 3, "c");
        setTimeout(() => seen.push("a"), 1);
        clearTimeout(setTimeout(() => seen.push("never"), 2));
        let n = 0;
        await new Promise((done) => {
          const every = setInterval(() => {
            seen.push("tick");
            if (++n === 2) { clearInterval(every); setTimeout(done, 5); }
          }, 1);
        });
        queueMicrotask(() => seen.push("micro"));
        await null;
        return [seen.filter((x) => x === "tick").length, seen.filter((x) => x !== "tick")];
        """
    ) == [2, ["a", "c", "micro"]]


async def test_a_callback_that_throws_is_printed_and_hurts_nobody(
    run: Any, guest_js: Guest
) -> None:
    assert await run(
        "setTimeout(() => { throw new Error('oops') }); await facets.sleep(2); return 1"
    )

    [(stream, text)] = guest_js.owner.printed
    assert stream == "stderr"
    assert text.startswith("Uncaught Error: oops\n    at ")


async def test_a_cancelled_call_hears_it_where_it_waits(guest_js: Guest) -> None:
    session = await guest_js.open(
        "import {Actor, errors, sleep} from 'facets'; export class Tool extends Actor {"
        "async run() { try { await sleep(60000); } catch (e) { this.seen = e.name; throw e; } }"
        "async said() { return this.seen; } }",
        limits={"wall": 0.05},
    )

    with pytest.raises(WallLimit):
        await session.call("run")

    assert await session.call("said") == "Cancelled"


async def test_random_numbers_are_drawn_outside(run: Any) -> None:
    body = "return [Math.random(), crypto.randomUUID(), crypto.getRandomValues(new Uint8Array(4))]"
    one, other = await run(body), await run(body)

    assert one != other
    assert one[1][14] == "4"
    assert len(one[1]) == 36


async def test_clocks_tick_in_milliseconds(run: Any) -> None:
    now, monotonic = await run("return [Date.now(), performance.now()]")

    assert abs(now / 1000 - dt.datetime.now().timestamp()) < 60
    assert monotonic * 1000 % 1000 < 1e-3 or monotonic * 1000 % 1000 > 999


async def test_text_is_encoded_as_utf_8(run: Any) -> None:
    assert await run(
        "const b = new TextEncoder().encode('é😀'); return [b, new TextDecoder().decode(b)]"
    ) == ["é😀".encode(), "é😀"]


async def test_console_shows_values_as_they_are(run: Any, guest_js: Guest) -> None:
    await run(
        "console.log('a', [1, 'x'], {k: new Map([[1, new Set([2])]])}, null, undefined, 5n, -0);"
        "console.warn(new TypeError('bad').message, () => 1); console.log()"
    )

    assert guest_js.owner.text == (
        'a [1, "x"] {k: Map {1 => Set {2}}} null undefined 5n 0\n\nbad [function ]\n'
    )


@pytest.mark.parametrize(
    "body",
    [
        "return JSON.stringify(JSON.parse('['.repeat(1e5) + ']'.repeat(1e5)))",
        "return eval('('.repeat(1e5) + ')'.repeat(1e5))",
        "class A { get x() { return this.x } }; return new A().x",
        "const a = []; a[0] = a; a.toString = () => String(a); return String(a)",
    ],
)
async def test_a_stack_that_runs_over_ends_the_isolate_and_nothing_else(
    run: Any, body: str
) -> None:
    with pytest.raises(RecursionError) as caught:
        await run(body)
    assert isinstance(caught.value, StackLimit | GuestError)
    assert await run("return 1") == 1
