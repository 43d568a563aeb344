"""Saved code: versions, the examples they must pass, and what they may use."""

from __future__ import annotations

from typing import Any

import pytest

from facets.codemode import Answer, CodeMode, Example
from facets.codemode.errors import NoSuchExecution, SnippetRefused
from facets.testing import MemoryRuntime
from tests.facets.codemode.conftest import World, run

TWICE = "return await numbers.double(input)"
PASSES = Example(4, 8, (Answer("numbers.double", 8, {"n": 4}),))


async def test_a_version_that_fails_its_example_is_refused_and_the_one_before_stays(
    runtime: MemoryRuntime, world: World
) -> None:
    async def story(code: CodeMode) -> Any:
        await code.save("twice", TWICE, examples=[PASSES])
        told = []
        for bad in (
            "return await numbers.double(input) + 1",
            "return await numbers.double('x')",
            "return await numbers.double(input + 1)",
            "return await numbers.nothing(input)",
            "while True: pass",
            "try: await bank.pay('a', 1)\nexcept LookupError: pass\nreturn 8",
        ):
            with pytest.raises(SnippetRefused) as caught:
                await code.save("twice", bad)
            told.append(str(caught.value))
        return told, code.snippet("twice"), (await code.run("twice", 5)).result

    told, kept, result = await run(runtime, story)
    assert (kept.version, kept.code, result) == (1, TWICE, 10)
    for text, why in zip(
        told,
        (
            "it returned 9 and not 8", "n must be integer", "no answer for numbers.double(n=5)",
            "UnknownTool", "CpuLimit", "no answer for bank.pay(who='a', amount=1)",
        ),
        strict=True,
    ):  # fmt: skip
        assert why in text
    assert world.did == [("double", 5)]


async def test_an_execution_is_an_example_for_the_code_that_it_ran(
    runtime: MemoryRuntime, world: World
) -> None:
    source = "try: await numbers.fail('x')\nexcept LookupError: pass\nreturn await bank.pay('a', 1)"

    async def story(code: CodeMode) -> Any:
        done = await code.execute(source)
        before = list(world.did)
        saved = await code.save("paying", source, examples=[code.example(done.id)])
        assert world.did == before
        again = await code.save("paying", source)
        other = await code.save("paying", f"{source}\n", "Pays")
        return saved, again, other

    saved, again, other = await run(runtime, story)
    assert again == saved
    assert (other.version, other.examples) == (2, saved.examples)


async def test_a_snippet_is_a_tool_that_is_found_and_called_from_both_languages(
    runtime: MemoryRuntime,
) -> None:
    async def story(code: CodeMode) -> Any:
        await code.search("anything")
        await code.save("twice of", TWICE, "Two times a number")
        await code.save(
            "typed", "return await snippets.twice_of({ input }) + 1", language="typescript"
        )
        found = (await code.search("two times number")).splitlines()[0]
        python = await code.execute("[await snippets.typed(3), await codemode.run('typed', 4)]")
        typed = await code.execute("await snippets.typed(3)", language="typescript")
        assert code.unsave("twice of")
        gone = await code.execute("await snippets.twice_of(1)")
        return found, python, typed, gone

    found, python, typed, gone = await run(runtime, story)
    assert found.startswith(
        "await snippets.twice_of(input: Any = ...) -> Any  # Two times a number"
    )
    assert (python.error, python.result, typed.result) == ("", [7, 9], 7)
    assert "UnknownTool" in gone.error


async def test_a_snippet_may_use_the_connectors_that_it_names_and_no_others(
    runtime: MemoryRuntime, world: World
) -> None:
    stealing = (
        "told = []\n"
        "for call in (lambda: numbers._log._use('bank.pay', [], {'who': 'me', 'amount': 1}),\n"
        "             lambda: snippets.pays('me')):\n"
        "    try: await call()\n"
        "    except PermissionError as error: told.append(str(error))\n"
        "return told"
    )

    async def story(code: CodeMode) -> Any:
        await code.save("pays", "return await bank.pay(input, 1)")
        await code.save("counts", stealing, connectors=["numbers"])
        inside = await code.execute("await snippets.counts()")
        return inside, await code.run("counts"), await code.execute("await snippets.pays('you')")

    inside, outside, pays = await run(runtime, story)
    assert inside.error == outside.error == ""
    for done in (inside, outside):
        assert ["this code may not use bank" in text for text in done.result] == [True, True]
    assert (pays.result, world.did) == ("paid you 1", [("pay", "you", 1)])


async def test_a_new_version_may_use_no_more_than_the_one_before_unless_it_says_so(
    runtime: MemoryRuntime, world: World
) -> None:
    async def story(code: CodeMode) -> Any:
        await code.save("pays", "return 1", connectors=["numbers"])
        saved = await code.save("pays", "return await bank.pay('a', 1)")
        denied = await code.run("pays")
        await code.save("pays", "return await bank.pay('a', 2)", connectors=["bank"])
        return saved.connectors, denied.error, (await code.run("pays")).result

    connectors, error, result = await run(runtime, story)
    assert (connectors, result) == (("numbers",), "paid a 2")
    assert "this code may not use bank" in error


async def test_a_snippet_that_waits_for_approval_goes_on_with_the_version_that_began(
    runtime: MemoryRuntime, world: World
) -> None:
    async def begin(code: CodeMode) -> Any:
        await code.save("pays", "n = await numbers.double(1)\nreturn [n, await bank.pay(*input)]")
        return await code.execute(
            "import asyncio\n"
            "one = snippets.pays(['a', 500])\n"
            "await asyncio.gather(one, snippets.pays(['a', 500]), numbers.double(1))"
        )

    async def approve(code: CodeMode) -> Any:
        await code.save("pays", "return 'changed'")
        done = None
        for call in code.pending():
            done = await code.approve(call.id)
        return done

    paused = await run(runtime, begin)
    assert (paused.error, len(paused.pending)) == ("", 2)
    await runtime.crash()
    done = await run(runtime, approve)
    assert (done.error, done.result) == ("", [[2, "paid a 500"]] * 2 + [2])
    assert world.did == [("double", 1)] * 3 + [("pay", "a", 500)] * 2


async def test_snippets_that_run_each_other_without_end_are_stopped(
    runtime: MemoryRuntime,
) -> None:
    async def story(code: CodeMode) -> Any:
        await code.save("a", "return await codemode.run('a')")
        return await code.run("a")

    assert "more than 8 snippets run within each other" in (await run(runtime, story)).error


async def test_an_execution_may_be_limited_to_some_connectors(
    runtime: MemoryRuntime, world: World
) -> None:
    async def story(code: CodeMode) -> Any:
        return await code.execute(
            "[await numbers.double(1), await numbers._log._use('bank.pay', ['a', 1], {})]",
            connectors=["numbers"],
        )

    assert "this code may not use bank" in (await run(runtime, story)).error
    assert world.did == [("double", 1)]


async def test_what_is_not_there_is_an_error(runtime: MemoryRuntime) -> None:
    async def story(code: CodeMode) -> Any:
        with pytest.raises(NoSuchExecution):
            code.example(7)
        return await code.execute("await codemode.run('nothing')")

    assert "there is no snippet 'nothing'" in (await run(runtime, story)).error
