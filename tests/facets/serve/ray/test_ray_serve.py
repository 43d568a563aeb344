"""The application as an ingress of Ray Serve: needs `ray[serve]`, and is skipped without it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from facets.errors import NotServed
from facets.serve import Client
from tests.facets.serve.classes import Tally
from tests.facets.serve.rooms import Room

pytest.importorskip("grpc")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray Serve's own
CLONE = str(Path(__file__).parents[4])


def deployed(root: str) -> Any:
    """A deployment whose replicas build the application."""
    from ray import serve

    def build() -> Any:
        import facets.serve

        runtime = facets.RayRuntime(root, hosts=1, name="ingress")
        return facets.serve.app(runtime, expose=[Tally, Room])

    return serve.deployment(num_replicas=2)(serve.ingress(build)()).bind()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    import ray
    from ray import serve

    path = os.pathsep.join(filter(None, (CLONE, os.environ.get("PYTHONPATH"))))
    ray.init(
        "local",
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        namespace="facets",
        runtime_env={"env_vars": {"PYTHONPATH": path}},
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(deployed(str(tmp_path_factory.mktemp("s"))), name="a", route_prefix="/api")
    yield f"http://127.0.0.1:{port}/api"
    serve.shutdown()
    ray.shutdown()


async def test_actors_are_called_iterated_and_left(url: str) -> None:
    async with Client(url) as client:
        tally = client.get("Tally", "a/b")
        counted = await asyncio.gather(*[tally.add("x") for _ in range(8)])
        assert sorted(counted) == list(range(1, 9))
        assert [one async for one in tally.count(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match="that is no value"):
            await tally.fail("value")
        with pytest.raises(NotServed):
            await tally.nothing()

        items = aiter(tally.forever())
        await anext(items)
        await items.aclose()
        while not (await tally.given())[1]:
            await asyncio.sleep(0.01)


async def test_sockets_of_two_replicas_meet_in_one_actor(url: str) -> None:
    async with Client(url) as client:
        hall = client.get("Room", "hall")
        names = [f"n{index}" for index in range(8)]
        sockets = [await hall.socket(name=name).__aenter__() for name in names]
        assert [await one.recv() for one in sockets] == [f"welcome {name}" for name in names]
        assert await hall.tell("all") == 8
        assert [await one.recv() for one in sockets] == ["all"] * 8
        await sockets[0].send("leave")
        with pytest.raises(ConnectionClosed):
            await sockets[0].recv()
        assert sockets[0].close_code == 4001
        with pytest.raises(InvalidStatus):
            await hall.socket(name="banned").__aenter__()
        for one in sockets:
            await one.close()
