"""How long actors are away when a host dies, and how fast a lost disk comes back."""

from __future__ import annotations

import asyncio
import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actors.local import LocalRuntime
from actors.ray.errors import HostLost
from facets import Actor
from tests.benchmarks.cluster import Counter, cluster
from tests.benchmarks.harness import RAY, Figure, Skip, benchmark

ACTORS, MB = 16, 1 << 20


class Blob(Actor):
    """A megabyte that does not compress."""

    async def fill(self) -> None:
        self.kv["blob"] = os.urandom(MB)

    async def size(self) -> int:
        return len(self.kv["blob"])


@benchmark("Ray: first answer after the host was killed", RAY)
async def failover() -> AsyncIterator[Figure]:
    async with cluster() as (runtime, _):
        yield Figure(await _kill_and_wait(runtime), "ms")


@benchmark("Ray: first answer after the host was killed, replicated", RAY)
async def failover_replicated() -> AsyncIterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="facets-bench-") as folder:
        options = {"replica": f"file://{folder}", "durability": "replicated"}
        async with cluster(**options) as (runtime, _):
            yield Figure(await _kill_and_wait(runtime), "ms")


async def _kill_and_wait(runtime: Any) -> list[float]:
    stub = runtime.get(Counter, "one")
    await stub.insert(1)
    samples = []
    for _ in range(4):
        os.kill(await stub.process(), signal.SIGKILL)
        started = time.perf_counter()
        while not await _answers(stub):
            await asyncio.sleep(0.01)
        samples.append((time.perf_counter() - started) * 1e3)
    return samples


async def _answers(stub: Any) -> bool:
    try:
        await stub.insert(2)
    except HostLost:
        return False
    return True


@benchmark(f"Ray: a lost disk from a folder, {ACTORS} MB, each MB", RAY)
async def from_folder() -> AsyncIterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="facets-bench-") as folder:
        yield Figure(await _lose_the_disk(f"file://{folder}"), "ms")


@benchmark(f"Ray: a lost disk from S3 on loopback, {ACTORS} MB, each MB", RAY)
async def from_s3() -> AsyncIterator[Figure]:
    with _s3() as replica:
        yield Figure(await _lose_the_disk(replica), "ms")


async def _lose_the_disk(replica: str) -> list[float]:
    """Milliseconds for each MB, from an empty directory to the first answer."""
    samples = []
    with tempfile.TemporaryDirectory(prefix="facets-bench-") as folder:
        root = Path(folder) / "state"
        async with LocalRuntime(root, replica=replica, durability="replicated") as runtime:
            for n in range(ACTORS):
                await runtime.get(Blob, f"{n}").fill()
        for _ in range(3):
            shutil.rmtree(root)
            started = time.perf_counter()
            async with LocalRuntime(root, replica=replica, durability="replicated") as runtime:
                assert await runtime.get(Blob, "0").size() == MB
                samples.append((time.perf_counter() - started) * 1e3 / ACTORS)
    return samples


@contextmanager
def _s3() -> Iterator[str]:
    """A bucket of moto's, whose server ends with the block."""
    from tests.s3 import SERVER

    run = [sys.executable, "-c", SERVER]
    pipe = subprocess.PIPE
    with subprocess.Popen(run, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        port = server.stdout.readline().decode().strip()
        if not port:
            raise Skip("moto's server does not start here")
        before = dict(os.environ)
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
        try:
            connection = http.client.HTTPConnection(f"127.0.0.1:{port}")
            connection.request("PUT", "/facets-bench")
            connection.getresponse().read()
            connection.close()
            yield "s3://facets-bench/replica"
        finally:
            os.environ.clear()
            os.environ |= before
            server.terminate()
