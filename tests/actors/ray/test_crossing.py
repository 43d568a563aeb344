"""What a call takes along to another host: deadline, cancellation, chain and trace."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import facets
from actors.errors import CallDepth, DeadlineExceeded, ExclusiveReentered
from actors.ray.directory import Directory, place
from actors.ray.runtime import RayRuntime
from facets import Actor

HOSTS = ("host-0", "host-1")


class Relay(Actor):
    async def process(self) -> int:
        return os.getpid()

    async def wait(self) -> None:
        self.began = True
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.end = f"cancelled after {facets.remaining()}"
            raise

    async def wait_by(self, other: Any) -> None:
        await other.wait()

    async def left_by(self, other: Any) -> float | None:
        return await other.left()  # type: ignore[no-any-return]

    async def left(self) -> float | None:
        return facets.remaining()

    async def in_transaction(self, began: str, told: str) -> None:
        async with self.facets.transaction():
            self.kv["first"] = 1
            Path(began).touch()
            while not Path(told).exists():
                await asyncio.sleep(0)
            self.kv["second"] = 2
        await asyncio.Event().wait()

    async def in_transaction_by(self, other: Any, *paths: str) -> None:
        await other.in_transaction(*paths)

    async def has_begun(self) -> bool:
        return getattr(self, "began", False)

    async def ended(self) -> str:
        return getattr(self, "end", "")

    async def kept(self) -> list[str]:
        return list(self.kv)

    @facets.exclusive
    async def alone(self, *way: Any) -> str:
        return await way[0].pass_on(*way[1:]) if way else "alone"

    async def pass_on(self, *way: Any) -> str:
        return str(await way[0].alone(*way[1:]))

    async def for_ever(self, one: Any, other: Any) -> None:
        await one.for_ever(other, one)

    async def deep(self, *way: Any) -> int:
        return 1 + await way[0].deep(*way[1:]) if way else 0


@pytest.fixture(scope="module")
def root(ray: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crossing") / "state"


@pytest.fixture
async def runtime(root: Path) -> AsyncIterator[RayRuntime]:
    """The same two hosts for all tests; each takes actors of its own."""
    async with RayRuntime(root, hosts=2) as runtime:
        yield runtime


_names = (f"{i}" for i in itertools.count())


def apart(runtime: RayRuntime, cls: type[Actor]) -> tuple[Any, Any]:
    """Stubs of a new actor on the first host, and of one on the second."""
    directory = Directory(1, HOSTS, place(HOSTS))
    found: dict[str, str] = {}
    while len(found) < 2:
        name = next(_names)
        found[directory.owner(cls.kind, name)] = name
    return runtime.get(cls, found["host-0"]), runtime.get(cls, found["host-1"])


async def test_a_deadline_ends_a_call_that_waits_on_a_second_host(runtime: RayRuntime) -> None:
    one, other = apart(runtime, Relay)
    await asyncio.gather(one.process(), other.process())
    with pytest.raises(DeadlineExceeded, match=r"the 0\.3 s it had"), facets.deadline(0.3):
        await one.wait_by(other)
    while not await other.ended():
        pass
    assert float((await other.ended()).split()[-1]) < 0.1


async def test_the_seconds_that_are_left_cross_every_host(runtime: RayRuntime) -> None:
    one, other = apart(runtime, Relay)
    assert await one.left_by(other) is None
    with facets.deadline(100):
        left = await one.left_by(other)
    assert 0 < left < 100


async def test_a_deadline_holds_while_the_host_is_stopped(runtime: RayRuntime) -> None:
    one, _ = apart(runtime, Relay)
    pid = await one.process()
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(DeadlineExceeded), facets.deadline(0.2):
            await one.process()
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_call_whose_deadline_has_passed_is_not_sent(runtime: RayRuntime) -> None:
    one, _ = apart(runtime, Relay)
    with pytest.raises(DeadlineExceeded), facets.deadline(0.0):
        await one.wait()
    assert not await one.has_begun()


async def test_cancelling_the_driver_reaches_the_last_host_of_a_chain(runtime: RayRuntime) -> None:
    one, other = apart(runtime, Relay)
    waiting = asyncio.ensure_future(one.wait_by(other))
    while not await other.has_begun():
        pass
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    while not await other.ended():
        pass


async def test_cancellation_from_another_host_waits_for_a_transaction(
    runtime: RayRuntime, tmp_path: Path
) -> None:
    one, other = apart(runtime, Relay)
    began, told = tmp_path / "began", tmp_path / "told"
    call = one.in_transaction_by(other, str(began), str(told))
    waiting = asyncio.ensure_future(call)
    while not began.exists():
        await one.process()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await one.process()
    told.touch()
    assert await other.kept() == ["first", "second"]


async def test_an_exclusive_section_entered_again_through_another_host_fails_at_once(
    runtime: RayRuntime,
) -> None:
    one, other = apart(runtime, Relay)
    with pytest.raises(ExclusiveReentered) as caught:
        await one.alone(other, one)
    assert str(caught.value).count("Relay") >= 3, "the chain names who is on it"
    assert await one.alone() == "alone"
    assert await one.alone(other, other) == "alone", "another actor's section is another one"


async def test_a_chain_over_hosts_without_an_end_is_call_depth(runtime: RayRuntime) -> None:
    one, other = apart(runtime, Relay)
    with pytest.raises(CallDepth):
        await one.for_ever(other, one)
    assert await one.deep(*[other, one] * 10) == 20
