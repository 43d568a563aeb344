"""Every limit: what happens at it, and that the box goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from facets.errors import (
    SandboxCpu,
    SandboxDisk,
    SandboxMemory,
    SandboxOutput,
    SandboxTimeout,
)
from facets.sandbox import Box, Sandbox

Limited = Callable[..., Sandbox]


async def goes_on(box: Box) -> bool:
    return (await box.exec(["echo", "on"])).text == "on\n"


async def test_a_command_that_takes_too_long_is_killed_with_all_below_it(box: Box) -> None:
    with pytest.raises(SandboxTimeout) as caught:
        await box.exec(["sh", "-c", "sleep 1000 & sleep 1000"], seconds=0.2)

    assert isinstance(caught.value, TimeoutError)
    assert caught.value.most == 0.2
    assert (await box.exec(["pgrep", "sleep"])).text == ""


async def test_processor_time_of_a_box_is_bounded(limited: Limited) -> None:
    async with limited(cpu=0.5).open() as box:
        with pytest.raises(SandboxCpu):
            await box.exec(["sh", "-c", "while :; do :; done"])


async def test_an_allocation_over_the_limit_fails_inside(box: Box) -> None:
    grow = "try: x = b'1' * (400 << 20)\nexcept MemoryError: print('no')"

    assert (await box.exec(["python3", "-c", grow])).text == "no\n"


async def test_processes_that_together_take_too_much_memory_are_killed(limited: Limited) -> None:
    async with limited(memory=100 << 20).open() as box:
        hold = "python3 -c 'x = b\"1\" * (60 << 20); import time; time.sleep(1000)'"
        with pytest.raises(SandboxMemory) as caught:
            await box.exec(["sh", "-c", f"{hold} & {hold} & {hold}"])

        assert isinstance(caught.value, MemoryError)
        assert await goes_on(box)


async def test_memory_that_processes_share_counts_once(limited: Limited) -> None:
    fork = (
        "import os, time\nx = b'1' * (60 << 20)\n"
        "pids = [os.fork() for _ in range(1)] + [0]\n"
        "if pids[0]: time.sleep(0.7); print('alive'); os.kill(pids[0], 9)\n"
        "else: time.sleep(1000)"
    )
    async with limited(memory=110 << 20).open() as box:
        assert (await box.exec(["python3", "-c", fork])).text == "alive\n"


async def test_a_fork_over_the_limit_fails_inside(limited: Limited) -> None:
    fork = (
        "import os, time\nn = 0\n"
        "try:\n    while n < 100:\n        n += 1\n        os.fork() or time.sleep(1000)\n"
        "except OSError as error: print(n)"
    )
    async with limited(processes=20).open() as box:
        found = int((await box.exec(["python3", "-c", fork])).text)

        assert 10 < found < 25
        assert await goes_on(box)


async def test_a_command_that_prints_too_much_is_killed(limited: Limited) -> None:
    async with limited(output=1 << 20).open() as box:
        with pytest.raises(SandboxOutput):
            await box.exec(["yes"])

        assert await goes_on(box)


async def test_a_file_over_the_limit_cannot_be_written(limited: Limited) -> None:
    async with limited(file=1 << 20).open() as box:
        done = await box.exec(["sh", "-c", "head -c 5000000 /dev/zero > big; stat -c %s big"])

        assert done.text == f"{1 << 20}\n"


async def test_a_full_workspace_fails_inside_and_where_files_are_put_in(limited: Limited) -> None:
    async with limited(disk=1 << 20).open() as box:
        fill = "for n in 1 2 3; do head -c 500000 /dev/zero > $n; done"
        assert b"No space left" in (await box.exec(["sh", "-c", fill])).stderr
        with pytest.raises(SandboxDisk) as caught:
            await box.write("more", b"x" * (1 << 20))
        assert isinstance(caught.value, OSError)


@pytest.mark.parametrize("place", ["/workspace", "/tmp", "/dev/shm"])
async def test_more_files_than_allowed_end_everything(limited: Limited, place: str) -> None:
    async with limited(files=1000).open() as box:
        make = f"import os\nfor n in range(10**6): os.mkdir(f'{place}/{{n}}')"
        with pytest.raises(SandboxDisk, match="1000 files"):
            await box.exec(["python3", "-c", make])


async def test_output_that_does_not_fit_into_the_workspace_ends_its_command(
    limited: Limited,
) -> None:
    async with limited(disk=1 << 20).open() as box:
        with pytest.raises(SandboxDisk, match="no room"):
            await box.exec(["yes"])


async def test_a_limit_of_one_command_does_not_end_another(box: Box) -> None:
    other = asyncio.create_task(box.exec(["sh", "-c", "until [ -e go ]; do sleep 0.01; done"]))
    with pytest.raises(SandboxTimeout):
        await box.exec(["sleep", "1000"], seconds=0.1)
    await box.exec(["touch", "go"])

    assert (await other).code == 0
