"""What models write besides code, and what they forget."""

from __future__ import annotations

from typing import Any

import pytest

from facets.codemode import CodeMode
from facets.testing import MemoryRuntime
from tests.facets.codemode.conftest import World, run

DOCUMENT = "text = '''\n```python\nreturn 1\n```\n'''\nlen(text)"


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("Sure! Here it is:\n```python\nreturn 5\n```\nDone.", 5),
        ("  ```\n  return 5\n  ```", 5),
        ("    x = 5\n    return x", 5),
        (DOCUMENT, len("\n```python\nreturn 1\n```\n")),
        ("numbers.double(2)", 4),
        ("def f():\n    return numbers.double(2)\nf()", 4),
        ("import asyncio\nasyncio.gather(numbers.double(1), numbers.double(2))", [2, 4]),
        (
            "import asyncio\nasync with asyncio.TaskGroup() as group:\n"
            "    one = group.create_task(numbers.double(2))\none.result()",
            4,
        ),
        ("import asyncio\nawait asyncio.wait_for(numbers.double(2), 5)", 4),
    ],
)
async def test_what_stands_around_code_is_no_mistake(
    runtime: MemoryRuntime, source: str, result: Any
) -> None:
    async def story(code: CodeMode) -> Any:
        return await code.execute(source)

    done = await run(runtime, story)
    assert (done.error, done.result) == ("", result)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("numbers.double(1)\nreturn 5", "numbers.double(...) was called without `await`"),
        ("[numbers.double(1)]", "write `await numbers.double(...)`"),
        ("numbers.double(1)['a']", "write `(await numbers.double(...))`"),
        ("numbers.double(1).a", "write `(await numbers.double(...))`"),
        ("for one in numbers.double(1): pass", "write `(await numbers.double(...))`"),
        ("numbers.double(1) + 1", "write `(await numbers.double(...))`"),
        ("async def f(): pass\n[f()]", "await it before it is returned"),
    ],
)
async def test_a_missing_await_is_an_error_that_says_so(
    runtime: MemoryRuntime, world: World, source: str, error: str
) -> None:
    async def story(code: CodeMode) -> Any:
        return await code.execute(source)

    done = await run(runtime, story)
    assert done.status == "error"
    assert error in done.error
    assert world.did == []


async def test_what_was_printed_before_an_error_is_kept(runtime: MemoryRuntime) -> None:
    async def story(code: CodeMode) -> Any:
        python = await code.execute("print('one')\n1 / 0")
        typed = await code.execute("console.log('one')\nnull.x", language="typescript")
        return code.told(python), code.told(typed)

    for told in await run(runtime, story):
        assert "printed:\none\nerror:\n" in told


async def test_a_call_that_nothing_waits_for_ends_before_the_execution_does(
    runtime: MemoryRuntime, world: World
) -> None:
    async def story(code: CodeMode) -> Any:
        done = await code.execute(
            "import asyncio\nkept = asyncio.create_task(numbers.slowly(1))\nreturn 5"
        )
        return done, [call.state for call in code.calls(done.id)]

    done, states = await run(runtime, story)
    assert (done.error, done.result, states) == ("", 5, ["applied"])
    assert world.did == [("slowly", 1)]
