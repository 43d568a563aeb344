"""Every trap, in a process that asked to hear of signals: the process lives and says so."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from facets.isolates import image

ROOT = str(Path(__file__).parents[3])
PROGRAM = """
import asyncio, faulthandler, signal, sys
from facets.isolates import Code, Limits, image
from facets.isolates.errors import CpuLimit, GuestAborted, IsolateDead, StackLimit
from facets.isolates.session import Session
from facets.isolates.wasm.session import WasmSession
from tests.isolates.battery.conftest import tool
from tests.isolates.fake import Owner
from tests.isolates.wasm.conftest import assembled
from tests.isolates.wasm.test_hostile import BAD

PYTHON = {
    "os.abort()": GuestAborted,
    "import faulthandler; faulthandler._sigsegv()": GuestAborted,
    "import signal; signal.raise_signal(6)": GuestAborted,
    "import json; json.loads('[' * 10**6)": StackLimit,
    "while True: pass": CpuLimit,
}
JAVASCRIPT = {"const f = () => f(); f()": StackLimit, "for (;;);": CpuLimit}
WASM = {
    "unreachable": GuestAborted, "divide": GuestAborted, "overflow": GuestAborted,
    "convert": GuestAborted, "outside": GuestAborted, "null": GuestAborted,
    "mismatch": GuestAborted, "far": GuestAborted, "deep": StackLimit, "spin": CpuLimit,
}

async def dies(session, method, error):
    try:
        await session.call(method)
    except IsolateDead as found:
        assert type(found) is error, (method, found)
    else:
        raise AssertionError(method)
    session.close()

async def main():
    image.load()  # the engine is there first
    BEFORE
    limits = Limits(cpu=0.1)
    for language, table in (("python", PYTHON), ("javascript", JAVASCRIPT)):
        for body, error in table.items():
            code = Code.of(tool(language, body), language=language)
            session = await Session.open(
                code, target="Tool", actor=True, limits=limits, services=Owner()
            )
            await dies(session, "run", error)
    for method, error in WASM.items():
        session = await WasmSession.open(
            Code.of(assembled(BAD)), target="", actor=False, limits=limits, services=Owner()
        )
        await dies(session, method, error)
    session = await Session.open(
        Code.of(tool("python", "return 7")), target="Tool", actor=True, limits=limits,
        services=Owner(),
    )
    print("intact", await session.call("run"))
    session.close()
    AFTER

asyncio.run(main())
"""


def run(before: str, after: str = "pass") -> subprocess.CompletedProcess[str]:
    program = PROGRAM.replace("BEFORE", before).replace("AFTER", after)
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip


def test_no_trap_reaches_a_process_with_a_fault_handler(guest: image.Image) -> None:
    done = run("faulthandler.enable()")

    assert (done.stdout, done.returncode) == ("intact 7\n", 0), done.stderr
    assert done.stderr == ""


@pytest.mark.timeout(240)
def test_no_trap_reaches_a_process_with_ray(guest: image.Image) -> None:
    # Not tmp_path: the path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        _ray(folder)


def _ray(folder: str) -> None:
    begin = (
        "import ray; ray.init('local', num_cpus=1, include_dashboard=False, log_to_driver=False,"
        f" configure_logging=False, _temp_dir={folder!r});"
        " assert faulthandler.is_enabled()"
    )
    done = run(begin, "ray.shutdown()")

    assert (done.stdout.splitlines()[-1:], done.returncode) == (["intact 7"], 0), done.stderr
    assert "Fatal Python error" not in done.stderr
