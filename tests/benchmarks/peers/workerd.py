"""workerd, the open runtime with facets and dynamic code, as a process beside this one.

Taken from $FACETS_WORKERD or the PATH, else installed by npm into the cache folder, once.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

from facets.isolates.image import cache_folder
from tests.benchmarks.harness import Lap, Skip

VERSION = "1.20261117.1"
PLATFORMS = {"x86_64": "linux-64", "aarch64": "linux-arm64"}
HERE = Path(__file__).parent
PATIENCE = 300.0
"""Seconds that one request may take."""


def find() -> Path:
    """The binary; `Skip` says why there is none."""
    named = os.environ.get("FACETS_WORKERD") or shutil.which("workerd")
    if named and not Path(named).is_file():
        raise Skip(f"FACETS_WORKERD={named} is not a file")
    return Path(named) if named else _installed()


def _installed() -> Path:
    machine = PLATFORMS.get(platform.machine())
    if machine is None:
        raise Skip(f"workerd is not published for {platform.machine()}")
    package = f"@cloudflare/workerd-{machine}"
    folder = cache_folder() / f"workerd-{VERSION}"
    binary = folder / "node_modules" / package / "bin" / "workerd"
    if not binary.exists():
        _install(folder, f"{package}@{VERSION}")
    return binary


def _install(folder: Path, package: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Skip("there is no workerd, and no npm to install it: set FACETS_WORKERD")
    command = [npm, "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"]
    command += ["--prefix", str(folder), package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1]
        raise Skip(f"npm could not install workerd: {last}")


@asynccontextmanager
async def running(folder: Path | None = None, code: Path = HERE) -> AsyncIterator[Workerd]:
    """A fresh process over an empty directory in `folder`, ended at the end.

    `code` has its `workerd.capnp` and `worker.js`."""
    binary = find()
    with TemporaryDirectory(dir=folder or Path.cwd()) as state, TemporaryFile() as log:
        made = Workerd(binary, state, log, code)
        try:
            made.connect()
            yield made
        finally:
            made.stop()


class Workerd:
    """The process, and one connection to it that is kept open."""

    def __init__(self, binary: Path, state: str, log: IO[bytes], code: Path) -> None:
        self._log = log
        self._port = _free_port()
        command = [str(binary), "serve", "--experimental", "workerd.capnp", "config"]
        command += ["-s", f"http=127.0.0.1:{self._port}", "-d", f"state={state}"]
        self._process = subprocess.Popen(
            command, cwd=code, stdout=log, stderr=log, preexec_fn=_end_with_parent
        )
        self.pid = self._process.pid
        self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)

    def connect(self) -> None:
        """Return when it answers."""
        while True:
            try:
                self._connection.connect()
                break
            except OSError:
                if self._process.poll() is not None:
                    raise Skip(f"workerd did not start: {self._said()}") from None
                time.sleep(0.005)
        assert self._connection.sock is not None
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def run(self, work: str, n: int, loads: int = 0) -> Lap:
        """The time of `n` times this work, without the way there and back.

        Blocks the loop: nothing else is to run meanwhile. `loads` is how often code must have
        been loaded by it, so that a cache cannot answer for what is measured.
        """
        way = min(self._get("nothing", 1)[0] for _ in range(5))
        took, said = self._get(work, n)
        if said["loaded"] != loads:
            raise RuntimeError(f"workerd loaded code {said['loaded']} times for {n} x {work}")
        return Lap((took - way) * 1e6)

    def _get(self, work: str, n: int) -> tuple[float, dict[str, int]]:
        began = time.perf_counter()
        self._connection.request("GET", f"/{work}?n={n}")
        answer = self._connection.getresponse()
        said = answer.read()
        took = time.perf_counter() - began
        if answer.status != 200:
            raise RuntimeError(f"workerd failed at {work}: {said[:800].decode()}")
        return took, json.loads(said)

    def _said(self) -> str:
        self._log.seek(0)
        return (self._log.read().decode(errors="replace").strip() or "nothing")[-300:]

    def stop(self) -> None:
        """End the process and wait for it."""
        self._connection.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
