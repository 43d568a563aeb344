"""FacetExecutor: code of real smolagents agents, in isolates."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from smolagents import CodeAgent, LogLevel, tool
from smolagents.local_python_executor import InterpreterError, LocalPythonExecutor

from actors.blocking import BlockingRuntime
from actors.testing import VirtualClock
from facets import Limits, LocalRuntime
from facets.adapters.smolagents import FacetExecutor
from facets.errors import NotActive
from tests.facets.adapters.scripted_smolagents import Scripted


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingRuntime]:
    with LocalRuntime(tmp_path_factory.mktemp("state")).blocking() as runtime:
        yield runtime


@pytest.fixture
def executor(runtime: BlockingRuntime) -> Iterator[FacetExecutor]:
    executor = FacetExecutor(runtime, "alice")
    yield executor
    executor.cleanup()


@tool
def weigh(animal: str, times: int = 1) -> float:
    """Weigh an animal.

    Args:
        animal: Its name.
        times: How often.
    """
    threads.append(threading.current_thread())
    if animal == "kraken":
        raise LookupError("there is no kraken")
    return 7.5 * times


threads: list[threading.Thread] = []


def run(executor: Any, *answers: str, tools: Any = (weigh,)) -> tuple[Any, Scripted]:
    model = Scripted(*answers)
    agent = CodeAgent(
        tools=list(tools), model=model, executor=executor, verbosity_level=LogLevel.OFF
    )
    return agent.run("How heavy is it?"), model


def test_an_agent_computes_calls_tools_and_answers(executor: FacetExecutor) -> None:
    answer, model = run(
        executor,
        "weight = weigh('octopus')\nprint('it is', weight)",
        "twice = [one * 2 for one in [weight]]\ntwice",
        "final_answer({'heavy': twice[0] > 10})",
    )

    assert answer == {"heavy": True}
    assert "it is 7.5" in model.seen[1]
    assert "Last output from code snippet:\n[15.0]" in model.seen[2]
    assert threads[-1] is threading.main_thread()


CODE = [
    "x = 3\nx",
    "def double(n):\n    return n * 2\ndouble(x)",
    "import math\nmath.floor(double(x) / 4)",
    "[double(n) for n in range(3)]",
    "class Point:\n    def __init__(self):\n        self.x = x\nPoint().x",
    "x += 1",
    "print('a', 1)\nprint('b', sep='')",
    "if x > 3:\n    y = 'big'\ny",
    "weigh('squid', times=2)",
    "{'a': (1, 2), 'b': {3}}",
    "final_answer(x)",
    "x",
]


def test_it_does_what_the_local_executor_does(executor: FacetExecutor) -> None:
    local = LocalPythonExecutor([])
    final = CodeAgent(tools=[weigh], model=Scripted(), executor=executor).tools
    for one in (local, executor):
        one.send_tools(dict(final))
        one.send_variables({"given": [1]})
    for code in (*CODE, "given"):
        ours, theirs = executor(code), local(code)
        assert ours.is_final_answer == theirs.is_final_answer
        assert ours.output == theirs.output
        assert ours.logs == theirs.logs


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("1 / 0", "failed at line '1 / 0' due to: ZeroDivisionError: division by zero"),
        ("a = 1\nb = (", "Code parsing failed on line 2 due to: SyntaxError: '(' was never closed"),
        (
            "x = 1\nweigh('kraken')",
            "failed at line 'weigh('kraken')' due to: LookupError: there is",
        ),
        ("weigh(animal=5, nothing=1)", "due to: TypeError: "),
        ("raise SystemExit(1)", "due to: SystemExit: 1"),
        ("nothing_of_this_name", "NameError: name 'nothing_of_this_name' is not defined"),
        ("import numpy", "ModuleNotFoundError: No module named 'numpy'"),
        ("final_answer(lambda: 1)", "cannot"),
    ],
)
def test_what_goes_wrong_is_told_by_its_line_and_the_next_code_goes_on(
    executor: FacetExecutor, code: str, told: str
) -> None:
    answer, model = run(executor, "kept = 1", code, "final_answer(kept)")

    assert answer == 1
    assert told in model.seen[2]
    assert "Traceback" not in model.seen[2]
    assert "/adapters/" not in model.seen[2]


class Image:
    def __repr__(self) -> str:
        return "<an image>"


def test_what_cannot_go_in_stays_outside_and_goes_from_tool_to_tool(
    executor: FacetExecutor,
) -> None:
    image, seen = Image(), []
    executor.send_tools({
        "draw": lambda: image,
        "show": lambda one, *, times: seen.append((one, times)),
        "final_answer": lambda answer: answer,
    })  # fmt: skip

    assert executor("picture = draw()\npicture").output == "<an image>"
    assert executor("print(picture)\nshow(picture, times=2)").logs == "<an image>\n"
    answer = executor("final_answer(picture)")

    assert seen == [(image, 2)]
    assert (answer.output, answer.is_final_answer) == (image, True)
    with pytest.raises(InterpreterError, match="KeyError"):
        executor("show({'kept outside': 99}, times=1)")


def test_only_authorized_modules_are_imported_by_the_code(runtime: BlockingRuntime) -> None:
    executor = FacetExecutor(runtime, "bob", authorized_imports=["json", "xml.*"])
    _, model = run(
        executor,
        "import json, math, xml.etree.ElementTree",
        "import os",
        "from subprocess import run",
        "final_answer(1)",
    )

    assert "Execution logs" in model.seen[1]
    assert "Import of os is not allowed. Authorized imports are: ['collections'" in model.seen[2]
    assert "Import of subprocess is not allowed" in model.seen[3]
    executor.cleanup()


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/passwd').read()",
        "import os\nos.listdir('/')[:1000].index('etc')",
        "import os\nos.system('id')",
        "import os\nos.environ['PATH']",
        "import subprocess\nsubprocess.run(['id'])",
        "import socket\nsocket.create_connection(('127.0.0.1', 22))",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1/')",
        "import ctypes\nctypes.CDLL(None)",
        "from isolate import storage\nstorage.call_own('facets.get', ['x', 'Tool'])",
        "from isolate import storage\nstorage.call_own('tools.use', ['__import__', ['os'], {}])",
        "from isolate import storage\nstorage.call_own('tools.use', [5, 6, 7])",
        "from isolate import storage\nstorage.call('sql', ['select 1'])",
    ],
)
def test_hostile_code_reaches_nothing(executor: FacetExecutor, code: str) -> None:
    executor.send_tools({"weigh": weigh})

    with pytest.raises(InterpreterError):
        executor(code)
    assert executor("1 + 1").output == 2


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("while True:\n    pass", "CpuLimit: "),
        ("[bytearray(1 << 20) for _ in range(500)]", "Memory"),
        ("import os\nos.abort()", "GuestAborted: "),
        ("while True:\n    print('x' * 1000)", "LogLimit: "),
    ],
)
def test_code_that_takes_too_much_is_ended_and_the_next_has_what_was_sent(
    runtime: BlockingRuntime, code: str, told: str
) -> None:
    executor = FacetExecutor(runtime, "mallory", limits=Limits(cpu=0.5, wall=60))
    executor.send_variables({"given": 5})
    executor.send_tools({"weigh": weigh})
    executor("mine = 1\nprint('begun')")

    with pytest.raises(InterpreterError, match=told):
        executor(code)

    assert executor("given * weigh('octopus')").output == 37.5
    executor.cleanup()


def test_two_executors_of_one_name_share_nothing(runtime: BlockingRuntime) -> None:
    one, two = FacetExecutor(runtime, "alice"), FacetExecutor(runtime, "alice")
    one("secret = 1")

    with pytest.raises(InterpreterError, match="NameError"):
        two("secret")
    one.cleanup()
    two.cleanup()
    with pytest.raises(InterpreterError, match="NameError"):
        one("secret")
    one.cleanup()


async def test_an_agent_on_a_thread_uses_the_runtime_of_the_loop(
    state: Path, clock: VirtualClock
) -> None:
    async with LocalRuntime(state, clock=clock) as runtime:
        executor = FacetExecutor(runtime, "alice")
        with pytest.raises(NotActive, match="waiting would stop it"):
            executor("1")

        answer, _ = await asyncio.to_thread(run, executor, "final_answer(weigh('octopus'))")
        await asyncio.to_thread(executor, "kept = 1")
        await clock.run(3600)  # in which an actor that nobody holds would fall asleep

        assert answer == 7.5
        assert (await asyncio.to_thread(executor, "kept")).output == 1
        await asyncio.to_thread(executor.cleanup)
        assert runtime.stats().calls == 0
