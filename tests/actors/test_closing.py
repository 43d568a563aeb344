"""A runtime that closes, or fails, while something is under way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors import LocalRuntime
from facets import Actor
from facets.errors import NoState, RuntimeClosed
from storage.errors import StateClosed
from storage.store import Store


class Keeper(Actor, kind="ClosingKeeper"):
    async def put(self, value: str) -> None:
        self.kv["x"] = value

    async def read(self) -> str:
        return str(self.kv["x"])

    async def compact(self) -> None:
        self.kv["y"] = "z" * 50_000
        del self.kv["y"]
        await self.storage.compact()


class Stop:
    """Work on the storage thread waits here."""

    def __init__(self, patch: pytest.MonkeyPatch, where: str) -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        module, _, name = where.rpartition(".")
        original = getattr(__import__(module, fromlist=[name]), name)

        def stopped(*args: Any) -> Any:
            self.reached.set()
            assert self.go.wait(30)
            return original(*args)

        patch.setattr(where, stopped)

    async def here(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, 30)


@pytest.fixture
async def keeper(runtime: LocalRuntime) -> Any:
    keeper = runtime.get(Keeper, "k")
    await keeper.put("one")
    return keeper


def clone(runtime: LocalRuntime, keeper: Any, mark: str) -> Any:
    return runtime.clone(Keeper, "k", "copy")


def restore(runtime: LocalRuntime, keeper: Any, mark: str) -> Any:
    return runtime.restore(Keeper, "k", mark)


def compact(runtime: LocalRuntime, keeper: Any, mark: str) -> Any:
    return keeper.compact()


JOBS = [
    (clone, "storage.clone.copy"),
    (restore, "storage.past._write"),
    (compact, "storage.compact._vacuum"),
]


@pytest.mark.parametrize(("job", "where"), JOBS, ids=["clone", "restore", "compact"])
async def test_a_job_under_way_ends_before_the_directory_is_let_go(
    runtime: LocalRuntime,
    keeper: Any,
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    job: Callable[..., Any],
    where: str,
) -> None:
    mark = runtime.bookmark()
    await keeper.put("two")
    store = runtime._open().store
    stop = Stop(monkeypatch, where)
    running = asyncio.ensure_future(job(runtime, keeper, mark))
    await stop.here()

    closing = asyncio.ensure_future(runtime.close())
    for _ in range(200):
        await asyncio.sleep(0)
    assert not closing.done()
    stop.go.set()
    await closing

    with pytest.raises(RuntimeClosed):
        await running
    assert not any(one.held for one in store.databases.live.values())
    files = [path.name for path in (state / "db").glob("??/*")]
    assert all(name.startswith("1.db") for name in files)
    async with LocalRuntime(state) as again:
        assert await again.get(Keeper, "k").read() == "two"
        assert again.list(Keeper) == ["k"]


@pytest.mark.parametrize(("job", "where"), JOBS, ids=["clone", "restore", "compact"])
async def test_a_cancelled_job_changes_nothing_and_holds_nothing(
    runtime: LocalRuntime,
    keeper: Any,
    monkeypatch: pytest.MonkeyPatch,
    job: Callable[..., Any],
    where: str,
) -> None:
    mark = runtime.bookmark()
    await keeper.put("two")
    stop = Stop(monkeypatch, where)
    running = asyncio.ensure_future(job(runtime, keeper, mark))
    await stop.here()
    running.cancel()
    await asyncio.sleep(0)
    stop.go.set()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert not any(one.held for one in runtime._open().store.databases.live.values())
    assert await keeper.read() == "two"
    await runtime.delete(Keeper, "k")
    assert runtime.list(Keeper) == []


async def test_a_failed_job_holds_nothing(runtime: LocalRuntime, keeper: Any) -> None:
    with pytest.raises(NoState):
        await runtime.clone(Keeper, "none", "copy")
    with pytest.raises(NoState):
        await runtime.restore(Keeper, "k", "00000000-0000000000000000")

    assert await keeper.read() == "one"
    assert not any(one.held for one in runtime._open().store.databases.live.values())


async def test_an_actor_compacted_twice_at_once_keeps_its_state(
    runtime: LocalRuntime, keeper: Any
) -> None:
    results = await asyncio.gather(*[keeper.compact() for _ in range(3)], return_exceptions=True)
    assert None in results

    runtime._open().root(Keeper, "k").abort(RuntimeError("start again"))
    assert await keeper.read() == "one"


async def test_calls_go_on_while_their_tree_is_restored_and_what_they_wrote_can_come_back(
    runtime: LocalRuntime, keeper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = runtime.bookmark()
    stop = Stop(monkeypatch, "storage.past._write")
    running = asyncio.ensure_future(runtime.restore(Keeper, "k", mark))
    await stop.here()
    await keeper.put("meanwhile")
    stop.go.set()
    undo = await running

    assert await runtime.get(Keeper, "k").read() == "one"
    await runtime.restore(Keeper, "k", undo)
    assert await runtime.get(Keeper, "k").read() == "meanwhile"


async def test_an_actor_can_be_deleted_while_it_is_copied(
    runtime: LocalRuntime, keeper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop(monkeypatch, "storage.clone.copy")
    running = asyncio.ensure_future(runtime.clone(Keeper, "k", "copy"))
    await stop.here()
    deleting = asyncio.ensure_future(runtime.delete(Keeper, "k"))
    await deleting
    stop.go.set()
    await running

    assert runtime.list(Keeper) == ["copy"]
    assert await runtime.get(Keeper, "copy").read() == "one"


def test_a_closed_store_touches_nothing_of_its_directory(state: Path) -> None:
    store = Store.open(state)
    one = store.root("K", "a")
    one.kv["x"] = 1
    one.commit()
    store.close()

    with pytest.raises(StateClosed):
        one.kv["x"] = 2
    with pytest.raises(StateClosed):
        store.names("K")
    assert not store.tend(everything=True)
    again = Store.open(state)
    assert again.root("K", "a").kv["x"] == 1
    again.close()
