"""Actors of a cluster over HTTP: the server is no host, and its sockets outlive one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

import facets.serve
from actors.ray.router import handle
from actors.ray.runtime import RayRuntime
from facets.errors import BadArguments, NotServed
from facets.serve import Client
from tests.actors.ray.conftest import ray as ray
from tests.facets.serve.classes import Tally
from tests.facets.serve.conftest import serving
from tests.facets.serve.rooms import Room


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("c") / "state"


@pytest.fixture
async def runtime(ray: Any, root: Path) -> AsyncIterator[RayRuntime]:
    """Two hosts, the same for all tests here."""
    async with RayRuntime(root, hosts=2, name="served") as runtime:
        yield runtime


@pytest.fixture
async def client(runtime: RayRuntime) -> AsyncIterator[Client]:
    app = facets.serve.app(runtime, expose=[Tally, Room], authenticate=lambda _: {"me": 1})
    async with serving(app) as url, Client(url) as client:
        yield client


async def test_actors_of_a_cluster_are_called_and_iterated(client: Client) -> None:
    tally = client.get(Tally, "a")
    assert [await tally.add("x"), await tally.add("x", n=2)] == [1, 3]
    assert [one async for one in tally.count(3)] == [0, 1, 2]
    assert await client.get("Tally", "a").facet("low").add(word="x") == 1
    assert [name async for name in client.list("Tally")] == ["a"]
    assert [await tally.add("k", idempotency_key="1") for _ in range(2)] == [1, 1]


async def test_errors_of_a_cluster_are_what_they_were(client: Client) -> None:
    tally = client.get("Tally", "a")
    with pytest.raises(ValueError, match="that is no value"):
        await tally.fail("value")
    with pytest.raises(BadArguments):
        await tally.add(5)
    with pytest.raises(NotServed):
        await tally._client.get("Tally", "a").nothing()


async def test_sockets_reach_actors_of_a_cluster_and_these_answer(client: Client) -> None:
    hall = client.get("Room", "hall")
    async with hall.socket(name="ann", tags="red") as ann, hall.socket(name="bob") as bob:
        assert [await ann.recv(), await bob.recv()] == ["welcome ann", "welcome bob"]
        await ann.send("hello")
        assert await bob.recv() == "ann: hello"
        assert await hall.tell("to red", "red") == 1
        assert await ann.recv() == "to red"
        await bob.send("leave")
        with pytest.raises(ConnectionClosed):
            await bob.recv()
        assert (bob.close_code, bob.close_reason) == (4001, "as you wish")
        low = hall.facet("low")
        async with low.socket(name="cid") as cid:
            assert await cid.recv() == "welcome cid"
            await cid.send(b"ab")
            assert await cid.recv() == b"ba"
    while "closed ann 1000" not in (said := await hall.said()):
        await asyncio.sleep(0.01)
    assert "closed bob 4001 as you wish" in said


async def test_who_is_not_let_in_is_told_so(client: Client) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await client.get("Room", "hall").socket(name="banned").__aenter__()
    assert caught.value.response.status_code == 403


async def test_sockets_outlive_the_host_of_their_actor(client: Client, runtime: RayRuntime) -> None:
    hall = client.get("Room", "lobby")
    async with hall.socket(name="ann") as ann:
        await ann.recv()
        owner = runtime._open().owner("Room", "lobby")
        pid = next(one.pid for one in runtime.hosts() if one.name == owner)
        os.kill(pid, signal.SIGKILL)
        told = 0
        while not told:
            with contextlib.suppress(Exception):
                told = await hall.tell("back again")
        assert await ann.recv() == "back again"
        await ann.send(b"ab")
        assert await ann.recv() == b"ba"
        assert [one for one in await hall.said() if one.startswith("closed")] == []
    assert handle("served", owner) is not None


async def test_sockets_follow_an_actor_that_moves_to_another_host(
    client: Client, runtime: RayRuntime
) -> None:
    hall = client.get("Room", "moving")
    async with hall.socket(name="ann") as ann:
        await ann.recv()
        owner = runtime._open().owner("Room", "moving")
        await runtime.drain(owner)
        assert runtime._open().owner("Room", "moving") != owner
        assert await hall.tell("here now") == 1
        assert await ann.recv() == "here now"
        await ann.send(b"ab")
        assert await ann.recv() == b"ba"
    while "closed ann 1000" not in await hall.said():
        await asyncio.sleep(0.01)
