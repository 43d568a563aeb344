"""Commands in a box: what they get, what comes back."""

from __future__ import annotations

import asyncio
import os
import pickle
from dataclasses import fields
from pathlib import Path

import pytest

from facets.browser import BrowserLimits
from facets.errors import (
    CommandFailed,
    NoSuchCommand,
    SandboxBusy,
    SandboxClosed,
    SandboxUnavailable,
)
from facets.sandbox import Box, Sandbox, SandboxLimits


async def test_a_command_gives_its_exit_code_and_both_outputs(box: Box) -> None:
    done = await box.exec(["sh", "-c", "echo out; echo err >&2; exit 3"])

    assert (done.code, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    with pytest.raises(CommandFailed, match="exit code 3: err"):
        done.check()


async def test_words_are_given_as_they_are_without_a_shell(box: Box) -> None:
    done = await box.exec(["printf", "%s|", "a b", "$HOME", "*"])

    assert done.text == "a b|$HOME|*|"


async def test_input_environment_and_folder_are_what_was_given(box: Box) -> None:
    await box.exec(["mkdir", "sub"])
    done = await box.exec(
        ["sh", "-c", "pwd; echo $NAME; wc -c"],
        cwd="sub", env={"NAME": "octopus"}, stdin=b"x" * 600_000,
    )  # fmt: skip

    assert done.text.split() == ["/workspace/sub", "octopus", "600000"]


async def test_a_program_that_is_not_there_is_an_error_of_its_own(box: Box) -> None:
    with pytest.raises(NoSuchCommand) as caught:
        await box.exec(["octopus"])

    assert isinstance(caught.value, FileNotFoundError)
    assert (await box.exec(["echo", "on"])).text == "on\n"


async def test_commands_of_one_box_run_at_the_same_time_and_share_files(box: Box) -> None:
    reader = asyncio.create_task(box.exec(["sh", "-c", "mkfifo f; cat f"]))
    writer = box.exec(["sh", "-c", "until [ -p f ]; do sleep 0.01; done; echo met > f"])

    assert [one.text for one in await asyncio.gather(reader, writer)] == ["met\n", ""]


async def test_output_behind_what_is_shown_is_in_a_file_of_the_workspace(box: Box) -> None:
    done = await box.exec(["sh", "-c", "seq 1 100000"])

    assert done.stdout_file == ".output/1.stdout"
    rest = await box.read(done.stdout_file)
    assert (done.stdout + rest).split()[-1] == b"100000"
    assert done.stdout_size == len(done.stdout) + len(rest) > len(done.stdout) == 64 << 10


async def test_output_comes_as_it_is_printed_and_input_may_depend_on_it(box: Box) -> None:
    process = await box.start(["sh", "-c", "echo name?; read n; echo hi $n"], stdin=None)
    pieces = aiter(process)
    assert await anext(pieces) == ("stdout", b"name?\n")
    await process.write(b"octopus\n")

    assert [piece async for piece in pieces] == [("stdout", b"hi octopus\n")]
    assert await process.wait() == 0


async def test_killing_a_command_ends_what_descends_from_it(box: Box) -> None:
    process = await box.start(
        ["sh", "-c", "sh -c 'sleep 1000' & setsid sleep 1000 & echo up; wait"]
    )
    assert await anext(aiter(process)) == ("stdout", b"up\n")
    await process.kill()

    assert await process.wait() == -9
    assert (await box.exec(["pgrep", "sleep"])).text == ""


async def test_cancelling_a_command_kills_it(box: Box) -> None:
    task = asyncio.create_task(box.exec(["sh", "-c", "touch begun; sleep 1000"]))
    await box.exec(["sh", "-c", "until [ -e begun ]; do sleep 0.01; done"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    gone = "until ! pgrep sleep; do sleep 0.01; done"
    assert (await box.exec(["sh", "-c", gone], seconds=10)).code == 0


async def test_cancelling_a_run_leaves_nothing_behind(sandbox: Sandbox) -> None:
    before = children()
    for steps in (1, 3, 30):
        task = asyncio.create_task(sandbox.run(None, ["sleep", "1000"]))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert children() == before


async def test_what_a_command_leaves_running_goes_on_until_the_box_closes(box: Box) -> None:
    serve = "python3 -m http.server -b 127.0.0.1 8000 >/dev/null 2>&1 & echo $!"
    pid = int((await box.exec(["sh", "-c", serve])).text)
    get = (
        "import time, urllib.request as r\n"
        "while True:\n"
        "    try: print(r.urlopen('http://127.0.0.1:8000').status); break\n"
        "    except OSError: time.sleep(0.05)"
    )

    assert (await box.exec(["python3", "-c", get])).text == "200\n"
    assert (await box.exec(["kill", "-0", str(pid)])).code == 0


async def test_a_compiler_works(box: Box) -> None:
    await box.write("a.c", b'#include <stdio.h>\nint main(){puts("compiled");}')
    done = await box.exec(["sh", "-c", "gcc a.c -o a && ./a"])
    if done.code == 127:
        pytest.skip("no compiler is installed")

    assert done.check().text == "compiled\n"


async def test_as_many_boxes_as_allowed_are_open(available: None) -> None:
    sandbox = Sandbox(boxes=1)
    async with sandbox.open():
        with pytest.raises(SandboxBusy, match="1 boxes are open"):
            async with sandbox.open():
                pass
    async with sandbox.open() as box:
        assert (await box.exec(["echo", "on"])).text == "on\n"


async def test_a_closed_box_runs_nothing(sandbox: Sandbox) -> None:
    async with sandbox.open() as box:
        pass
    with pytest.raises(SandboxClosed):
        await box.exec(["true"])


def test_a_sandbox_moves_to_another_process_with_the_class_that_holds_it() -> None:
    moved = pickle.loads(pickle.dumps(Sandbox(readable=["/opt"], boxes=3)))

    assert (moved.limits, moved.boxes) == (Sandbox().limits, 3)


@pytest.mark.parametrize("limits", [SandboxLimits, BrowserLimits])
def test_every_limit_has_a_row_in_the_docs(limits: type) -> None:
    page = (Path(__file__).parents[3] / "docs" / "tiers.md").read_text()
    names = {f"| `{limits.__name__}.{one.name}` |" for one in fields(limits)}

    assert {name for name in names if name not in page} == set()


async def test_without_bubblewrap_the_error_says_what_to_install() -> None:
    with pytest.raises(SandboxUnavailable, match="apt-get install bubblewrap"):
        async with Sandbox(program="/nowhere/bwrap").open():
            pass


async def test_a_bubblewrap_that_fails_is_quoted() -> None:
    with pytest.raises(SandboxUnavailable, match="user namespaces"):
        async with Sandbox(program="/bin/false").open():
            pass


async def test_a_box_leaves_no_descriptors_or_processes_behind(sandbox: Sandbox) -> None:
    async with sandbox.open():
        pass
    before = descriptors(), children()
    for _ in range(3):
        async with sandbox.open() as box:
            await box.exec(["true"])

    assert (descriptors(), children()) == before


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()
