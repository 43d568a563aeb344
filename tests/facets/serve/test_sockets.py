"""Sockets over a real server, to actors that sleep meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import facets.serve
from actors import LocalRuntime
from actors.sockets.events import Opened, Said
from actors.sockets.servers import SERVERS
from actors.testing import VirtualClock
from facets.errors import EffectInTransaction, NotStorable, SocketClosed
from facets.serve import Ask, ServeLimits
from facets.testing import MemoryRuntime
from tests.facets.serve.conftest import serving
from tests.facets.serve.rooms import Deaf, Room

Url = str


@contextlib.asynccontextmanager
async def room(runtime: LocalRuntime, **options: Any) -> AsyncIterator[Url]:
    app = facets.serve.app(runtime, expose=[Room, Deaf], **options)
    async with serving(app) as url:
        yield url.replace("http", "ws") + "/actors/Room/hall"


def enter(url: Url, name: str = "ann", more: str = "", **options: Any) -> connect:
    return connect(f"{url}/socket?name={name}{more}", **options)


async def until(runtime: LocalRuntime, said: str, path: str = "hall") -> None:
    while said not in await runtime.get(Room, path).said():
        await asyncio.sleep(0)


async def asleep(runtime: LocalRuntime, clock: VirtualClock) -> None:
    for _ in range(8):  # facets before their parents
        await clock.run(61)
    assert runtime.stats().awake == 0


async def closed(socket: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as caught:  # noqa: PT012 - after whatever came before
        while True:
            await socket.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def test_a_message_reaches_the_actor_and_its_answer_the_others(
    runtime: LocalRuntime,
) -> None:
    async with room(runtime) as url, enter(url) as ann, enter(url, "bob") as bob:
        assert [await ann.recv(), await bob.recv()] == ["welcome ann", "welcome bob"]
        await ann.send("hello")
        assert await bob.recv() == "ann: hello"
        await bob.send(b"abc")
        assert await bob.recv() == b"cba"
    assert (await runtime.get(Room, "hall").said())[:3] == [
        "opened ann", "opened bob", "ann: hello",
    ]  # fmt: skip


async def test_an_idle_socket_keeps_no_actor_awake_and_a_message_wakes_it(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    async with room(runtime) as url, enter(url, more="&tags=red") as ann, enter(url, "bob") as bob:
        await asleep(runtime, clock)
        await bob.send("still here?")
        assert [await ann.recv(), await ann.recv()] == ["welcome ann", "bob: still here?"]
        here = await runtime.get(Room, "hall").here()
    assert sorted(here, key=lambda one: one[0]["name"]) == [
        ({"name": "ann", "said": 0}, ["everybody", "red"], None),
        ({"name": "bob", "said": 1}, ["everybody"], None),
    ]


async def test_a_ping_is_answered_while_the_actor_sleeps(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    async with room(runtime) as url, enter(url) as ann:
        await ann.recv()
        await asleep(runtime, clock)
        await ann.send("ping")
        assert await ann.recv() == "pong"
        assert runtime.stats().awake == 0


async def test_a_timer_of_an_actor_that_slept_sends(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    async with room(runtime) as url, enter(url) as ann:
        await ann.recv()
        await runtime.get(Room, "hall").later(1_000, "wake up")
        await asleep(runtime, clock)
        await clock.run(1_000)
        assert await ann.recv() == "wake up"


async def test_those_with_a_tag_are_told(runtime: LocalRuntime) -> None:
    async with (
        room(runtime) as url,
        enter(url, more="&tags=red") as ann,
        enter(url, "bob", "&tags=red%20blue") as bob,
    ):
        await ann.recv(), await bob.recv()
        hall = runtime.get(Room, "hall")
        assert [await hall.tell("r", "red"), await hall.tell("b", "blue")] == [2, 1]
        assert await hall.tell("g", "green") == 0
        assert [await ann.recv(), await bob.recv(), await bob.recv()] == ["r", "r", "b"]


async def test_a_client_that_leaves_is_told_with_its_code(runtime: LocalRuntime) -> None:
    async with room(runtime) as url:
        async with enter(url) as ann:
            await ann.recv()
            await ann.close(4000, "bye")
        await until(runtime, "closed ann 4000 bye")
        assert await runtime.get(Room, "hall").rows() == 0


async def test_an_actor_closes_a_socket_and_is_told_too(runtime: LocalRuntime) -> None:
    async with room(runtime) as url, enter(url) as ann:
        await ann.send("leave")
        assert await closed(ann) == (4001, "as you wish")
        await until(runtime, "closed ann 4001 as you wish")


async def test_a_message_that_raises_closes_the_socket_and_its_step_is_undone(
    runtime: LocalRuntime,
) -> None:
    async with room(runtime) as url, enter(url) as ann:
        await ann.send("fail")
        assert await closed(ann) == (1011, "ValueError")
        await until(runtime, "closed ann 1011 ValueError")
    assert "lost" not in await runtime.get(Room, "hall").said()


async def test_who_is_not_let_in_leaves_nothing_behind(runtime: LocalRuntime) -> None:
    async with room(runtime) as url:
        with pytest.raises(InvalidStatus) as caught:
            await enter(url, "banned").__aenter__()
    assert caught.value.response.status_code == 403
    hall = runtime.get(Room, "hall")
    assert [await hall.said(), await hall.here()] == [[], []]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/actors/Room/hall/other", 404),
        ("/actors/Hidden/hall/socket", 404),
        ("/actors/Deaf/hall/socket", 404),
        ("/actors/Deaf/hall/facets/low/socket", 404),
        ("/actors/Room//socket", 400),
        ("/socket", 404),
    ],
)
async def test_a_socket_to_nothing_is_refused(
    runtime: LocalRuntime, path: str, status: int
) -> None:
    async with room(runtime) as url:
        with pytest.raises(InvalidStatus) as caught:
            await connect(url.partition("/actors")[0] + path).__aenter__()
    assert caught.value.response.status_code == status


async def test_who_opened_it_is_kept_with_it(runtime: LocalRuntime, clock: VirtualClock) -> None:
    def who(ask: Ask) -> object:
        token = ask.headers.get("authorization")
        return token and {"user": token, "verb": ask.verb}

    async with room(runtime, authenticate=who) as url:
        with pytest.raises(InvalidStatus) as caught:
            await enter(url).__aenter__()
        async with enter(url, additional_headers={"authorization": "ann"}) as ann:
            await ann.recv()
            await asleep(runtime, clock)
            ((_, _, whom),) = await runtime.get(Room, "hall").here()
    assert caught.value.response.status_code == 401
    assert whom == {"user": "ann", "verb": "socket"}


async def test_a_page_of_another_site_may_not_connect(runtime: LocalRuntime) -> None:
    async with room(runtime) as url:
        with pytest.raises(InvalidStatus) as caught:
            await enter(url, origin="https://evil.example").__aenter__()
    assert caught.value.response.status_code == 403


async def test_the_first_protocol_that_a_client_offers_is_taken(runtime: LocalRuntime) -> None:
    offered: Any = ["chat", "token.xyz"]
    async with room(runtime) as url, enter(url, subprotocols=offered) as ann:
        assert ann.subprotocol == "chat"


async def test_a_facet_has_sockets_of_its_own(runtime: LocalRuntime, clock: VirtualClock) -> None:
    async with (
        room(runtime) as url,
        enter(url) as above,
        enter(url + "/facets/a%2Fb/facets/c") as below,
    ):
        await above.recv(), await below.recv()
        await asleep(runtime, clock)
        await below.send("hello")
        await below.send(b"ab")
        assert await below.recv() == b"ba"
        await above.send(b"ab")
        assert await above.recv() == b"ba"  # and nothing of the facet's
    hall = runtime.get(Room, "hall")
    facet = await (await hall.facet("a/b")).facet("c")
    assert (await facet.said())[:2] == ["opened ann", "ann: hello"]
    assert "ann: hello" not in await hall.said()


async def test_a_socket_whose_facet_was_deleted_is_closed_at_its_next_message(
    runtime: LocalRuntime,
) -> None:
    async with room(runtime) as url, enter(url + "/facets/low") as low:
        await low.recv()
        await runtime.get(Room, "hall").wipe("low")
        await low.send("hello?")
        assert await closed(low) == (1011, "SocketClosed")


async def test_a_socket_that_a_restored_actor_does_not_know_is_closed_at_its_next_message(
    runtime: LocalRuntime,
) -> None:
    await runtime.get(Room, "hall").tell("x")
    async with room(runtime) as url, enter(url) as old:
        await old.recv()
        before = runtime.bookmark()
        async with enter(url, "bob") as new:
            await new.recv()
            await runtime.restore(Room, "hall", before)
            assert await runtime.get(Room, "hall").tell("y") == 1
            assert await old.recv() == "y"
            await new.send("hello?")
            assert await closed(new) == (1011, "SocketClosed")


async def test_an_actor_that_was_renamed_has_left_its_sockets_behind(
    runtime: LocalRuntime,
) -> None:
    async with room(runtime) as url, enter(url) as ann:
        await ann.recv()
        await runtime.rename(Room, "hall", "lobby")
        assert await runtime.get(Room, "lobby").tell("x") == 0
        await ann.send("hello?")
        assert await closed(ann) == (1011, "SocketClosed")


async def test_a_copy_of_an_actor_has_no_sockets(runtime: LocalRuntime) -> None:
    async with room(runtime) as url, enter(url) as ann:
        await ann.recv()
        await runtime.clone(Room, "hall", "copy")
        copy = runtime.get(Room, "copy")
        assert [await copy.tell("x"), await copy.here()] == [0, []]
        assert await runtime.get(Room, "hall").tell("y") == 1
        assert await ann.recv() == "y"
    assert [one for one in await copy.said() if one.startswith("closed")] == []


class Fake:
    """A server with one socket."""

    def __init__(self, runtime: LocalRuntime | None = None) -> None:
        self.sent: list[Any] = []
        self.runtime = runtime

    def opened(self, key: str) -> None:
        pass

    def holds(self, key: str) -> bool:
        return key == "s1"

    def send(self, key: str, data: Any) -> bool:
        if self.runtime is not None:
            store = self.runtime.host.store
            assert store.durable == store.committed
        self.sent.append(data)
        return True

    def close(self, key: str, code: int, reason: str) -> bool:
        return True


async def test_sockets_that_died_with_the_process_are_told_once_at_the_next_start() -> None:
    async with MemoryRuntime() as runtime:
        SERVERS["before"] = server = Fake()
        await runtime.tell_socket(Room, "hall", (), Opened("s1", "before", None, {"name": "ann"}))
        await runtime.crash()
        hall = runtime.get(Room, "hall")
        assert await hall.tell("still there") == 1  # the server is alive: nothing ended

        del SERVERS["before"]
        await runtime.crash()
        gone = "closed ann 1006 the server of this socket ended"
        await until(runtime, gone)
        assert [await runtime.get(Room, "hall").here(), server.sent[1:]] == [[], ["still there"]]
        while await runtime.get(Room, "hall").rows():
            await asyncio.sleep(0)
        await runtime.crash()
        assert (await runtime.get(Room, "hall").said()).count(gone) == 1


@pytest.fixture
def server(runtime: LocalRuntime) -> Iterator[Fake]:
    SERVERS["there"] = fake = Fake(runtime)
    yield fake
    del SERVERS["there"]


async def test_a_message_leaves_when_what_it_depends_on_is_durable(
    runtime: LocalRuntime, server: Fake
) -> None:
    await runtime.tell_socket(Room, "hall", (), Opened("s1", "there", None, {"name": "ann"}))
    await runtime.tell_socket(Room, "hall", (), Said("s1", b"ab"))
    assert server.sent == ["welcome ann", b"ba"]


async def test_a_message_has_no_place_in_a_transaction(runtime: LocalRuntime, server: Fake) -> None:
    class Careful(Room):
        async def both(self) -> None:
            async with self.facets.transaction():
                await self.sockets.send("not sent")

    await runtime.tell_socket(Careful, "a", (), Opened("s1", "there", None, {"name": "ann"}))
    with pytest.raises(EffectInTransaction):
        await runtime.get(Careful, "a").both()
    assert server.sent == ["welcome ann"]


async def test_what_is_kept_with_a_socket_is_undone_with_the_step(
    runtime: LocalRuntime, server: Fake
) -> None:
    await runtime.tell_socket(Room, "hall", (), Opened("s1", "there", None, {"name": "ann"}))
    with pytest.raises(ValueError, match="wrong"):
        await runtime.tell_socket(Room, "hall", (), Said("s1", "fail"))
    ((kept, _, _),) = await runtime.get(Room, "hall").here()
    assert kept == {"name": "ann", "said": 0}


@pytest.mark.parametrize("tags", ["red", ["x" * 257], list("abcdefghijk")])
async def test_tags_have_limits(runtime: LocalRuntime, server: Fake, tags: Any) -> None:
    class Tagger(Room):
        async def tag(self, tags: Any) -> None:
            self.sockets.get("s1").tags = tags

    await runtime.tell_socket(Tagger, "a", (), Opened("s1", "there", None, {}))
    with pytest.raises(ValueError, match="tags are at most"):
        await runtime.get(Tagger, "a").tag(tags)


async def test_an_attachment_is_plain_data(runtime: LocalRuntime, server: Fake) -> None:
    class Attacher(Room):
        async def attach(self) -> None:
            self.sockets.get("s1").attachment = object()

    await runtime.tell_socket(Attacher, "a", (), Opened("s1", "there", None, {}))
    with pytest.raises(NotStorable):
        await runtime.get(Attacher, "a").attach()


async def test_an_actor_is_told_when_its_server_stops(runtime: LocalRuntime) -> None:
    async with room(runtime) as url:
        ann = await enter(url).__aenter__()
        await ann.recv()
    assert await closed(ann) == (1012, "")
    assert (await runtime.get(Room, "hall").said())[-1] == "closed ann 1012"


async def test_a_message_over_the_limit_closes_the_socket(runtime: LocalRuntime) -> None:
    async with room(runtime, limits=ServeLimits(message=10)) as url, enter(url) as ann:
        await ann.send("x" * 11)
        assert await closed(ann) == (1009, "messages take at most 10 bytes")
    assert not any("xxx" in one for one in await runtime.get(Room, "hall").said())


async def test_a_client_that_does_not_read_is_dropped_and_holds_nobody_up(
    runtime: LocalRuntime,
) -> None:
    async with room(runtime, limits=ServeLimits(backlog=1 << 20)) as url:
        ann = await enter(url, max_queue=1).__aenter__()
        sent = await runtime.get(Room, "hall").flood(1 << 18)
        assert 4 <= sent < 1_000
        await until(runtime, "closed ann 1008 too slow to read")
        ann.transport.abort()


async def test_more_sockets_than_the_limit_are_refused(runtime: LocalRuntime) -> None:
    async with room(runtime, limits=ServeLimits(sockets=1)) as url, enter(url):
        with pytest.raises(InvalidStatus) as caught:
            await enter(url, "bob").__aenter__()
    assert caught.value.response.status_code == 429


async def test_what_a_step_that_failed_wanted_to_say_is_not_said(runtime: LocalRuntime) -> None:
    async with room(runtime) as url, enter(url) as ann:
        await ann.recv()
        hall = runtime.get(Room, "hall")
        with pytest.raises(TypeError):
            await hall.tell(5)  # type: ignore[arg-type]
        assert await hall.tell("after") == 1
        assert await ann.recv() == "after"


async def test_a_handle_that_is_gone_says_so(runtime: LocalRuntime) -> None:
    class Keeper(Room):
        async def on_socket(self, socket: Any) -> None:
            await super().on_socket(socket)
            self.kept = socket

        async def speak(self) -> str:
            try:
                await self.kept.send("?")
            except SocketClosed as error:
                return type(error).__name__ + str(error.id == self.kept.id)
            return "sent"

    app = facets.serve.app(runtime, expose=[Keeper])
    keeper = runtime.get(Keeper, "k")
    async with serving(app) as url:
        async with connect(url.replace("http", "ws") + "/actors/Keeper/k/socket?name=a"):
            assert await keeper.speak() == "sent"
        while (said := await keeper.speak()) == "sent":
            await asyncio.sleep(0)
    assert said == "SocketClosedTrue"


async def test_a_hundred_idle_sockets_of_a_sleeping_actor_are_all_told(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    async with room(runtime) as url, contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(enter(url, f"n{n}")) for n in range(100)]
        await asyncio.gather(*[one.recv() for one in sockets])
        await asleep(runtime, clock)
        tasks = len(asyncio.all_tasks())
        assert await runtime.get(Room, "hall").tell("wake up") == 100
        assert {await one.recv() for one in sockets} == {"wake up"}
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) <= tasks  # nothing is left of the sending
