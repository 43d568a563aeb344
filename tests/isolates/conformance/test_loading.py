"""Targets, modules, and code that does not load. Every promise in every guest language."""

from __future__ import annotations

import pytest

from facets.isolates.errors import (
    IsolateClosed,
    LoadError,
)
from tests.isolates.conformance.conftest import Guest


async def test_targets_may_be_functions_classes_and_modules(language: Guest) -> None:
    source = language.pick(
        python="""
def add(a, b): return a + b
async def twice(x): return 2 * x
async def items():
    yield 1
    yield 2
def _hidden(): pass
class Plain:
    async def hello(self): return "hello"
""",
        javascript="""
export function add(a, b) { return a + b; }
export async function twice(x) { return 2 * x; }
export async function* items() { yield 1; yield 2; }
export function _hidden() {}
export class Plain { async hello() { return "hello"; } }
""",
    )
    function = await language.open(source, "add", actor=False)
    stream = await language.open(source, "items", actor=False)
    plain = await language.open(source, "Plain", actor=False)
    module = await language.open(source, "", actor=False)

    assert await function.call("", (1, 2)) == 3
    assert [item async for item in stream.stream("")] == [1, 2]
    assert await plain.call("hello") == "hello"
    assert await module.call("twice", (4,)) == 8
    assert set(module.methods) == {"add", "twice", "items"}


async def test_code_may_be_many_modules(language: Guest) -> None:
    source = language.pick(
        python={
            "main": "from lib.text import shout\nimport lib\n"
            "async def run(x): return shout(x) + lib.MARK",
            "lib": "MARK = '!'",
            "lib.text": "def shout(x): return x.upper()",
        },
        javascript={
            "main.js": "import { shout } from './lib/text.js';"
            "import { MARK } from './lib/mark.js';"
            "export async function run(x) { return shout(x) + MARK; }",
            "lib/mark.js": "export const MARK = '!';",
            "lib/text.js": "import './mark.js'; export const shout = (x) => x.toUpperCase();",
        },
        typescript={
            "main.ts": "import { shout } from './lib/text'; import { MARK } from './lib/mark.js';"
            "export async function run(x: string): Promise<string> { return shout(x) + MARK; }",
            "lib/mark.ts": "export const MARK: string = '!';",
            "lib/text.ts": "import './mark'; export const shout = (x: string) => x.toUpperCase();",
        },
    )
    session = await language.open(source, "run", actor=False)

    assert await session.call("", ("a",)) == "A!"


@pytest.mark.parametrize(
    ("python", "javascript", "says"),
    [
        ("def broken(:\n", "function broken(: {}", "SyntaxError"),
        ("x = 1\nraise ValueError('at load')", "throw new Error('at load')", "at load"),
        ("import nothing", "import './nothing.js'", "nothing"),
        ("class Other: pass", "export class Other {}", "there is no .*Tool.*Other"),
        ("class Tool: pass", "export class Tool {}", "not an Actor"),
        ("Tool = 3", "export const Tool = 3", "not a class"),
        (
            "from facets import Actor\nclass Tool(Actor):\n    def kv(self): pass",
            "import {Actor} from 'facets'; export class Tool extends Actor { kv() {} }",
            "reserved",
        ),
    ],
)
async def test_code_that_does_not_load_says_why(
    language: Guest, python: str, javascript: str, says: str
) -> None:
    with pytest.raises(LoadError, match=says):
        await language.open(language.pick(python=python, javascript=javascript))
    assert await (await language.open()).call("add", (1, 2)) == 3


async def test_a_load_error_shows_the_line(language: Guest) -> None:
    source = language.pick(
        python="x = 1\n\nraise ValueError('at load')", javascript="\n\nthrow new Error('at load');"
    )

    with pytest.raises(LoadError) as caught:
        await language.open(source)

    assert language.pick(
        python='"main.py", line 3', javascript="main.js:3", typescript="main.ts:3"
    ) in str(caught.value)


async def test_a_closed_session_says_so(language: Guest) -> None:
    session = await language.open()
    session.close()
    session.close()

    with pytest.raises(IsolateClosed):
        await session.call("add", (1, 2))
