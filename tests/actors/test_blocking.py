"""Plain code uses a runtime through a portal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import Actor, LocalRuntime
from actors.blocking import BlockingRuntime
from actors.errors import NotActive, RuntimeClosed
from storage.errors import NoState


class Counter(Actor, kind="BlockingCounter"):
    async def add(self, n: int, *, twice: bool = False) -> int:
        self.kv["n"] = self.kv.get("n", 0) + n * (2 if twice else 1)
        return int(self.kv["n"])

    async def ask(self, other: Any) -> int:
        return int(await other.add(1))

    async def fail(self) -> None:
        raise ValueError("no")

    async def numbers(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i


@pytest.fixture
def blocking(state: Path) -> Iterator[BlockingRuntime]:
    with LocalRuntime(state).blocking() as runtime:
        yield runtime


def test_a_call_returns_its_result(blocking: BlockingRuntime) -> None:
    counter = blocking.get(Counter, "a")

    assert counter.add(2) == 2
    assert counter.add(1, twice=True) == 4


def test_state_survives_the_runtime(state: Path) -> None:
    for expected in (1, 2):
        with LocalRuntime(state).blocking() as runtime:
            assert runtime.get(Counter, "a").add(1) == expected
            assert runtime.list(Counter) == ["a"]


def test_an_exception_reaches_the_caller(blocking: BlockingRuntime) -> None:
    with pytest.raises(ValueError, match="no"):
        blocking.get(Counter, "a").fail()


def test_a_stub_travels_as_a_reference(blocking: BlockingRuntime) -> None:
    assert blocking.get(Counter, "a").ask(blocking.get(Counter, "b")) == 1


def test_a_streaming_method_is_an_iterator(blocking: BlockingRuntime) -> None:
    assert list(blocking.get(Counter, "a").stream("numbers", 3)) == [0, 1, 2]


def test_a_deleted_actor_is_gone(blocking: BlockingRuntime) -> None:
    blocking.get(Counter, "a").add(1)

    blocking.delete(Counter, "a")

    assert blocking.list(Counter) == []


def test_a_tree_is_cloned_exported_and_imported(blocking: BlockingRuntime, tmp_path: Path) -> None:
    blocking.get(Counter, "a").add(7)
    blocking.clone(Counter, "a", "b")
    blocking.export(Counter, "b", tmp_path / "b.tar")
    blocking.import_(Counter, "c", tmp_path / "b.tar")

    assert blocking.get(Counter, "c").add(0) == 7


def test_files_of_an_actor_are_read_and_written(blocking: BlockingRuntime) -> None:
    blocking.get(Counter, "a").add(1)
    files = blocking.files(Counter, "a")

    files.write_text("/note.txt", "hello")

    assert files.read_text("/note.txt") == "hello"
    with pytest.raises(FileNotFoundError):
        files.read("/nothing")
    with pytest.raises(NoState):
        blocking.files(Counter, "nobody").listdir("/")


def test_files_have_addresses_for_fsspec(blocking: BlockingRuntime) -> None:
    fsspec = pytest.importorskip("fsspec")
    blocking.get(Counter, "a b").add(1)

    with fsspec.open("facets://BlockingCounter/a%20b/dir/data.csv", "w") as file:
        file.write("x,y\n1,2\n")

    with fsspec.open("facets://BlockingCounter/a%20b/dir/data.csv") as file:
        assert file.read() == b"x,y\n1,2\n"
    assert blocking.files(Counter, "a b").listdir("/dir") == ["data.csv"]


def test_a_runtime_that_is_not_open_says_so(state: Path) -> None:
    runtime = LocalRuntime(state).blocking()
    with pytest.raises(RuntimeClosed):
        runtime.get(Counter, "a")


async def test_on_the_thread_of_a_loop_it_refuses(state: Path) -> None:
    with pytest.raises(NotActive), LocalRuntime(state).blocking():
        pass
