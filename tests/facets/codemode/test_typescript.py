"""Code in TypeScript: the same tools, replay, steps, limits and approvals."""

from __future__ import annotations

from typing import Any

import pytest

from facets.codemode import CodeMode
from facets.testing import MemoryRuntime
from tests.facets.codemode.conftest import World, run

PAYMENTS = """
interface Paid { who: string; amount: number }
const n: number = await numbers.double({ n: Math.floor(Math.random() * 1000) });
const first = await bank.pay({ who: "a", amount: 5 } as Paid);
const rest = await Promise.all([
  bank.pay({ who: "b", amount: 500 }), numbers.double(3), bank.pay("c", 600),
]);
const once = await codemode.step("once", () => Date.now());
[n, first, rest, once, input!.tag]
"""


async def test_code_in_typescript_pauses_and_goes_on_in_another_life_of_the_process(
    runtime: MemoryRuntime, world: World
) -> None:
    async def begin(code: CodeMode) -> Any:
        return await code.execute(PAYMENTS, {"tag": "t"}, language="typescript")

    async def approve(code: CodeMode) -> Any:
        first, second = code.pending()
        await code.approve(first.id)
        return await code.approve(second.id)

    paused = await run(runtime, begin)
    assert (paused.error, paused.status) == ("", "paused")
    assert [call.arguments["amount"] for call in paused.pending] == [500, 600]
    before = list(world.did)
    await runtime.crash()
    done = await run(runtime, approve)
    assert (done.error, done.status, done.passes) == ("", "completed", 3)
    assert done.result[1:3] == ["paid a 5", ["paid b 500", 6, "paid c 600"]]
    assert done.result[4] == "t"
    assert world.did == [*before, ("pay", "b", 500), ("pay", "c", 600)]


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("return 5", 5),
        ("5", 5),
        ("5; // five", 5),
        ("const x: number = 5; x", 5),
        ("if (input) { return 1 }\n5", 5),
        ("```ts\nreturn 5 as number\n```", 5),
        ("Here is the code:\n```typescript\n5\n```\nIt gives five.", 5),
        ("async () => { return 5 }", 5),
        ("async () => {\n  const r = await numbers.double({ n: 2 });\n  return r + 1;\n}", 5),
        ("async function main() { return 5 }", 5),
        ("function f() { return 5 }\nf()", 5),
        ("return { a: await numbers.double(1), b: undefined }", {"a": 2, "b": None}),
        ("({ a: 1, b: [1, 'x;y'] })", {"a": 1, "b": [1, "x;y"]}),
        ("numbers.double(4)", 8),
        ("[1, 2]\n  .map((one) => one * 2)", [2, 4]),
        ("const f = (n: number) => n\nf\n(5)", 5),
        ("foo: for (const one of [1, 2]) { if (one) continue foo }", None),
        ("enum E { A = 5 }\nE.A", 5),
        ("for (const one of [1]) { one }", None),
        ("`a\n;b\n${5}`", "a\n;b\n5"),
        ("", None),
        ("numbers.double({ n: 1, m: undefined })", 2),
        ("new Map([['a', new Date(0)]]).size", 1),
        ("typeof require + typeof process", "undefinedundefined"),
    ],
)
async def test_typescript_may_be_written_in_every_way_models_write_it(
    runtime: MemoryRuntime, source: str, result: Any
) -> None:
    async def story(code: CodeMode) -> Any:
        return await code.execute(source, language="typescript")

    done = await run(runtime, story)
    assert (done.error, done.status, done.result) == ("", "completed", result)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("const x = (", "SyntaxError"),
        ("const a = null;\nnothing.there()", "nothing is not defined"),
        ("const a: any = 1;\n\nthrow new Error()", "at <anonymous> (execution-1.ts:3"),
        ("await numbers.nothing()", "UnknownTool: there is no tool numbers.nothing"),
        ("await numbers.double({ n: 'x' })", "MisfitArguments: numbers.double: n must be integer"),
        ("await numbers.double({ m: 1 })", "n must be given"),
        ("await bank.close()", "CallDenied: a rule forbids bank.close"),
        ("bank.close()\nreturn 'closed'", "CallDenied: a rule forbids bank.close"),
        ("return [numbers.double(1)]", "several with asyncio.gather, or Promise.all"),
        ("await codemode.approve(1)", "UnknownTool"),
        ("console.log('x'.repeat(3_000_000))", "LogLimit"),
        ("return 'x'.repeat(17_000_000)", "Limit"),
        ("await fetch('http://10.0.0.1/')", "EgressDenied"),
        ("await import('fs')", "Error"),
    ],
)
async def test_typescript_that_fails_says_why(
    runtime: MemoryRuntime, world: World, source: str, error: str
) -> None:
    async def story(code: CodeMode) -> Any:
        return await code.execute(source, language="typescript")

    done = await run(runtime, story)
    assert done.status == "error"
    assert error in done.error
    assert "main.js" not in done.error
    assert ("close",) not in world.did


async def test_a_call_that_nothing_waits_for_ends_before_the_execution_does(
    runtime: MemoryRuntime, world: World
) -> None:
    async def story(code: CodeMode) -> Any:
        done = await code.execute("numbers.slowly(1)\nreturn 5", language="typescript")
        return done, [call.state for call in code.calls(done.id)]

    done, states = await run(runtime, story)
    assert (done.result, states) == (5, ["applied"])
    assert world.did == [("slowly", 1)]


async def test_the_declaration_is_what_the_code_is_called_with(runtime: MemoryRuntime) -> None:
    async def story(code: CodeMode) -> Any:
        return await code.describe("bank.pay", "typescript"), await code.execute(
            "return await codemode.describe({ path: 'bank.pay' })", language="typescript"
        )

    declared, inside = await run(runtime, story)
    assert "bank.pay(args: { who: string, amount: number }): Promise<string>" in declared
    assert inside.result == declared
