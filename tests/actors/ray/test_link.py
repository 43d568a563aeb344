"""What a link makes of answers that are late, lost, or come in another order."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import Any

import pytest

from actors.ray import link as link_module
from actors.ray.errors import HostLost
from actors.ray.link import Link
from actors.ray.outbox import Outbox
from actors.ray.parcels import pack_value

TARGET = ("Kind", "name", 0, "")


class Answer:
    """Stands for Ray's reference to what a method will return."""

    def __init__(self) -> None:
        self.result: Future[Any] = Future()

    def future(self) -> Future[Any]:
        return self.result

    def __await__(self) -> Any:
        return asyncio.wrap_future(self.result).__await__()


class Host:
    """Stands for Ray's handle of a host: a test gives its answers."""

    def __init__(self, token: str = "1") -> None:
        self.token = token
        self.outbox = Outbox(asyncio.get_running_loop())
        self.exchanges: asyncio.Queue[tuple[list[Any], Answer]] = asyncio.Queue()
        self.collects: asyncio.Queue[tuple[int, Answer]] = asyncio.Queue()
        self.beats = True
        self.callers: list[str] = []

    def __getattr__(self, name: str) -> Any:
        class Method:
            remote = getattr(self, f"_{name}")

        return Method

    def _exchange(self, request: bytes) -> Answer:
        answer = Answer()
        caller, _, messages = pickle.loads(request)
        self.callers.append(caller)
        self.exchanges.put_nowait((messages, answer))
        return answer

    def _collect(self, caller: str, token: str, got: int) -> Answer:
        answer = Answer()
        self.collects.put_nowait((got, answer))
        return answer

    def _pulse(self) -> Answer:
        answer = Answer()
        if self.beats:
            answer.result.set_result(None)
        return answer

    async def taken(self, replies: list[Any] | None = None) -> tuple[int, Answer]:
        """The number of the next call; its request is answered with `replies` or left open."""
        messages, answer = await self.exchanges.get()
        if replies is not None:
            self.say(answer, replies)
        number: int = messages[0][1]
        return number, answer

    def say(self, answer: Answer, replies: list[Any]) -> None:
        """The answer to an exchange."""
        answer.result.set_result(pickle.dumps((self.token, replies)))

    async def collected(self) -> None:
        """Answer the next request that collects from the outbox."""
        got, answer = await self.collects.get()
        answer.result.set_result((self.token, *await self.outbox.collect(got)))


@pytest.fixture
async def host() -> Host:
    return Host()


@pytest.fixture
async def link(host: Host) -> AsyncIterator[Link]:
    async def seek() -> Host:
        return host

    link = Link("host-0", lambda: host, seek)
    yield link
    for task in link._tasks:
        task.cancel()
    await asyncio.gather(*link._tasks, return_exceptions=True)


def call(link: Link) -> asyncio.Task[Any]:
    return asyncio.ensure_future(link.call(TARGET, "method", b""))


def done(number: int, value: Any) -> tuple[Any, ...]:
    return ("done", number, pack_value(value, "the result"))


async def test_a_reply_that_was_collected_and_lost_on_its_way_is_collected_again(
    host: Host, link: Link
) -> None:
    first = call(link)
    number, _ = await host.taken([])
    _, answer = await host.collects.get()
    answer.result.set_exception(ConnectionError("the way is cut"))
    with pytest.raises(HostLost):
        await first
    second = call(link)
    number, _ = await host.taken([])
    host.outbox.post(done(number, "here"))
    assert len((await host.outbox.collect(0))[1]) == 1, "the collector that was given up took it"
    await host.collected()
    assert await second == "here"


async def test_what_came_is_not_collected_again(host: Host, link: Link) -> None:
    first, second = call(link), call(link)
    messages, answer = await host.exchanges.get()
    one, other = [message[1] for message in messages]
    host.say(answer, [])
    host.outbox.post(done(one, 1))
    await host.collected()
    assert await first == 1
    host.outbox.post(done(other, 2))
    got, answer = await host.collects.get()
    number, replies = await host.outbox.collect(got)
    assert [reply[1] for reply in replies] == [other]
    answer.result.set_result((host.token, number, replies))
    assert await second == 2


async def test_an_outbox_made_anew_forgets_nothing_that_was_posted_to_it(host: Host) -> None:
    number, _ = (before := Outbox(asyncio.get_running_loop()))._first, before.post(done(1, 1))
    got = number + len((await before.collect(0))[1])
    await asyncio.sleep(0)
    after = Outbox(asyncio.get_running_loop())
    after.post(done(2, 2))
    assert [reply[1] for reply in (await after.collect(got))[1]] == [2]


async def test_items_stay_in_order_when_the_first_of_them_come_last(host: Host, link: Link) -> None:
    other = call(link)
    await host.taken([])  # somebody collects from now on

    async def take() -> list[Any]:
        return [item async for item in link.stream(TARGET, "method", b"")]

    items = asyncio.ensure_future(take())
    number, answer = await host.taken()
    host.outbox.post(("item", number, pack_value(2, "the item")), last=False)
    host.outbox.post(("end", number))
    await host.collected()
    host.say(answer, [("item", number, pack_value(1, "the item"))])
    assert await items == [1, 2]
    other.cancel()


async def test_a_host_with_a_pulse_is_waited_for(
    host: Host, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "SILENCE", 0.001)
    one = call(link)
    number, answer = await host.taken()
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not one.done()
    host.say(answer, [done(number, "late")])
    assert await one == "late"


async def test_what_an_older_incarnation_says_does_not_count(host: Host, link: Link) -> None:
    old, new = call(link), None
    number, answer = await host.taken()
    host.token = "2"
    new = call(link)
    other, _ = await host.taken([])
    host.outbox.post(done(other, "new"))
    await host.collected()
    assert await new == "new"
    host.token = "1"
    host.say(answer, [done(number, "old")])
    with pytest.raises(HostLost):
        await old


async def test_each_link_is_a_caller_of_its_own(host: Host, link: Link) -> None:
    """Also one whose loop has the address of another that has ended."""

    async def seek() -> Host:
        return host

    other = Link("host-0", lambda: host, seek)
    for one in (link, other):
        asked = call(one)
        await host.taken([])
        asked.cancel()
        _, answer = await host.exchanges.get()
        host.say(answer, [])
    assert len(set(host.callers)) == 2
    for task in other._tasks:
        task.cancel()
