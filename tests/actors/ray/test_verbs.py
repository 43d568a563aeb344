"""A runtime on a cluster does all that one in this process does."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from actors.errors import NotActive
from actors.local import LocalRuntime
from actors.ray.directory import Directory, place
from actors.ray.errors import OtherHost
from actors.ray.runtime import RayRuntime
from facets import Actor

HOSTS = ("host-0", "host-1")


class Notes(Actor):
    async def put(self, key: str, value: int) -> None:
        self.kv[key] = value
        self.fs.write("note.txt", f"{key}={value}".encode())

    async def all(self) -> dict[str, Any]:
        return dict(self.kv)

    async def below(self, name: str) -> dict[str, Any]:
        return await self.facets.get(name, Notes).all()  # type: ignore[no-any-return]

    async def items(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i


@pytest.fixture(scope="module")
def root(ray: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("verbs") / "state"


@pytest.fixture
async def runtime(root: Path) -> AsyncIterator[RayRuntime]:
    """The same two hosts for all tests; each takes actors of its own."""
    async with RayRuntime(root, hosts=2) as runtime:
        yield runtime


_names = (f"{i}" for i in itertools.count())


def names(*on: int) -> list[str]:
    """New names, each of an actor on the host with this number."""
    directory = Directory(1, HOSTS, place(HOSTS))
    found = []
    for host in on:
        owned = (name for name in _names if directory.owner("Notes", name) == HOSTS[host])
        found.append(next(owned))
    return found


def test_every_verb_of_a_local_runtime_is_there_with_its_arguments() -> None:
    for name, verb in inspect.getmembers(LocalRuntime, inspect.isfunction):
        if name.startswith("_"):
            continue
        there = inspect.signature(getattr(RayRuntime, name)).parameters
        missing = set(inspect.signature(verb).parameters) - set(there)
        assert not missing or "args" in there, f"{name} lacks {missing}"


async def test_what_differs_is_told_by_the_host_that_has_both(runtime: RayRuntime) -> None:
    one, same, other = names(0, 0, 1)
    await runtime.get(Notes, one).put("a", 1)
    await runtime.get(Notes, same).put("a", 2)
    assert [one async for one in runtime.diff(Notes, one, same)]
    assert not [one async for one in runtime.diff(Notes, one, one)]
    with pytest.raises(OtherHost, match="clone"):
        await anext(runtime.diff(Notes, one, other))


async def test_a_bookmark_of_all_hosts_fits_every_actor(runtime: RayRuntime) -> None:
    both = names(0, 1)
    for name in both:
        await runtime.get(Notes, name).put("a", 1)
    then = runtime.bookmark()
    for name in both:
        await runtime.get(Notes, name).put("a", 2)
    assert [one async for one in runtime.diff(Notes, both[1], at=then)]
    for name, copy in zip(both, names(0, 1), strict=True):
        await runtime.clone(Notes, name, copy, at=then)
        assert await runtime.get(Notes, copy).all() == {"a": 1}
        await runtime.restore(Notes, name, then)
        assert await runtime.get(Notes, name).all() == {"a": 1}


async def test_an_actor_becomes_a_facet_of_one_beside_it(runtime: RayRuntime) -> None:
    one, parent, other = names(0, 0, 1)
    await runtime.get(Notes, one).put("a", 1)
    with pytest.raises(OtherHost, match="import"):
        await runtime.demote(Notes, one, runtime.get(Notes, other), "child")
    await runtime.demote(Notes, one, runtime.get(Notes, parent), "child")
    assert one not in runtime.list(Notes)
    assert await runtime.get(Notes, parent).below("child") == {"a": 1}


async def test_idle_actors_are_put_to_sleep_on_all_hosts(runtime: RayRuntime) -> None:
    for name in names(0, 1):
        await runtime.get(Notes, name).put("a", 1)
    assert runtime.stats().awake >= 2
    assert runtime.sweep() == 0, "they were used just now"


def test_plain_code_uses_a_cluster_from_any_thread(ray: Any, root: Path) -> None:
    one, parent = names(1, 1)
    with RayRuntime(root, hosts=2).blocking() as runtime:
        stub = runtime.get(Notes, one)
        stub.put("a", 1)
        assert stub.all() == {"a": 1}
        assert list(stub.stream("items", 3)) == [0, 1, 2]
        assert one in runtime.list(Notes)
        assert runtime.stat(Notes, one).id == f"Notes:{one}"
        assert list(runtime.diff(Notes, one, one)) == []
        assert runtime.files(Notes, one).read("note.txt") == b"a=1"
        runtime.demote(Notes, one, runtime.get(Notes, parent), "child")
        assert runtime.get(Notes, parent).below("child") == {"a": 1}


async def test_a_cell_of_a_notebook_is_told_to_await(root: Path) -> None:
    with pytest.raises(NotActive, match="await"), RayRuntime(root, hosts=2).blocking():
        pass
    await asyncio.sleep(0)


SCRIPT = """
import sys
from facets import Actor, RayRuntime

class Counter(Actor):
    async def add(self) -> int:
        self.kv["n"] = self.kv.get("n", 0) + 1
        return self.kv["n"]

with RayRuntime(sys.argv[1], address="local").blocking() as runtime:
    print(runtime.get(Counter, "a").add(), runtime.get(Counter, "a").add())
"""


def test_a_script_without_a_loop_starts_ray_and_ends_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-W", "error", str(script), str(tmp_path / "state")]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90, env=env)
    assert done.stdout.split() == ["1", "2"], done.stderr
