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
from actors.ray.errors import HostLost
from actors.ray.parcels import Parcel
from actors.ray.router import router
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


class Holder(Actor):
    async def same(self, value: Any) -> Any:
        return value

    async def sum(self, value: Any) -> float:
        return float(value.sum())

    async def keep(self, value: Any) -> None:
        self.value = value

    async def kept(self) -> Any:
        return self.value

    async def chunks(self, count: int, size: int) -> AsyncIterator[bytes]:
        for i in range(count):
            yield bytes([i]) * size

    async def note(self, value: Any, i: int) -> None:
        self.order: list[int] = [*getattr(self, "order", []), i]

    async def noted(self) -> list[int]:
        return self.order

    async def pass_on(self, other: Any, value: Any) -> Any:
        return await other.same(value)


SIZES = (0, 1_000, 102_390, 102_401, 3_000_000)


@pytest.mark.parametrize("kind", [bytes, bytearray])
async def test_bytes_of_any_size_arrive_as_what_they_were(runtime: RayRuntime, kind: Any) -> None:
    one, other = apart(runtime, Holder)
    for size in SIZES:
        value = kind(os.urandom(size))
        for found in (await one.same(value), (await one.same({"a": [value]}))["a"][0]):
            assert type(found) is kind
            assert found == value
        assert await one.pass_on(other, value) == value


async def test_views_of_any_size_arrive_with_their_shape(runtime: RayRuntime) -> None:
    one, _ = apart(runtime, Holder)
    for size in (16, 400_000):
        value = memoryview(bytearray(range(16)) * (size // 16)).cast("I").cast("B")
        found = await one.same(value.cast("I", (2, size // 8)))
        assert (found.format, found.shape) == ("I", (2, size // 8))
        assert found.tobytes() == value.tobytes()
        assert (await one.same(value[::2])).tobytes() == value[::2].tobytes()


async def test_arrays_of_any_size_arrive_whole(runtime: RayRuntime) -> None:
    np = pytest.importorskip("numpy")
    one, other = apart(runtime, Holder)
    for count in (10, 500_000):
        value = np.arange(count, dtype="f8")
        assert await one.sum(value) == value.sum()
        assert (await one.pass_on(other, [value]))[0].tolist() == value.tolist()


async def test_what_was_passed_may_be_changed_at_once(runtime: RayRuntime) -> None:
    one, _ = apart(runtime, Holder)
    for size in SIZES[1:]:
        value = bytearray(size)
        call = one.same(value)
        value[0] = 1
        assert (await call)[0] == 0


async def test_items_of_a_stream_may_be_large(runtime: RayRuntime) -> None:
    one, _ = apart(runtime, Holder)
    found = [item async for item in one.chunks(5, 200_000)]
    assert [(item[0], len(item)) for item in found] == [(i, 200_000) for i in range(5)]


async def test_a_large_result_that_its_host_took_along_is_host_lost(runtime: RayRuntime) -> None:
    class Gone:
        def __await__(self) -> Any:
            raise OSError("the owner of the object has died")
            yield

    one, _ = apart(runtime, Holder)
    await one.same(1)
    link = router(runtime.name).to("host-0")
    call = link._begin("call", ("Holder", "x", 0, ""), "same", b"")
    try:
        reply = await link._arrived(call, ("done", call.number, Parcel(Gone())))
    finally:
        link._end(call)
    with pytest.raises(HostLost, match=r"Holder:x\.same"):
        link._result(reply)


async def test_the_object_store_keeps_nothing_that_is_over(ray: Any, runtime: RayRuntime) -> None:
    one, _ = apart(runtime, Holder)
    free = ray.available_resources()["object_store_memory"]
    for _ in range(3):
        assert len(await one.same(os.urandom(5_000_000))) == 5_000_000
    await one.keep(bytearray(5_000_000))
    while ray.available_resources()["object_store_memory"] < free:
        await asyncio.sleep(0.05)
    assert len(await one.kept()) == 5_000_000, "what an actor keeps is its own"


async def test_calls_start_in_the_order_in_which_they_were_made(runtime: RayRuntime) -> None:
    one, _ = apart(runtime, Holder)
    calls = []
    for i in range(200):
        size = 1_000_000 if i % 50 == 3 else 10
        calls.append(asyncio.ensure_future(one.note(bytes(size), i)))
        if i % 3 == 0:
            await asyncio.sleep(0)
    await asyncio.gather(*calls)
    assert await one.noted() == list(range(200))
