"""The local runtime: one owner, kinds, names, lists, deletes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from actors import Actor, LocalRuntime
from actors.errors import BadName, KindConflict, NotActive, RuntimeClosed
from storage.errors import StateInUse

OTHER = """
import asyncio, sys
from actors import LocalRuntime
async def main():
    async with LocalRuntime(sys.argv[1]):
        print("open", flush=True)
        sys.stdin.readline()
asyncio.run(main())
"""


class Note(Actor):
    async def set(self, value: int) -> None:
        self.kv["value"] = value

    async def value(self) -> int | None:
        return self.kv.get("value")


async def test_the_same_directory_opened_twice_in_one_process_is_shared(state: Path) -> None:
    async with LocalRuntime(state) as first:
        async with LocalRuntime(state) as second:
            await first.get(Note, "a").set(1)
            assert await second.get(Note, "a").value() == 1
        assert await first.get(Note, "a").value() == 1


async def test_a_directory_of_another_process_names_its_owner(state: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(StateInUse) as caught:
            await LocalRuntime(state).open()
        assert caught.value.pid == other.pid
        other.stdin.close()
    async with LocalRuntime(state) as runtime:
        await runtime.get(Note, "a").set(1)


async def test_names_with_state_are_listed_in_order(runtime: LocalRuntime) -> None:
    for name in ("b", "a", "ä/..", "c"):
        await runtime.get(Note, name).set(1)
    await runtime.get(Note, "never wrote").value()
    assert runtime.list(Note) == ["a", "b", "c", "ä/.."]


async def test_a_deleted_actor_starts_empty(runtime: LocalRuntime) -> None:
    note = runtime.get(Note, "a")
    await note.set(1)
    await runtime.delete(Note, "a")
    assert runtime.list(Note) == []
    assert await note.value() is None


@pytest.mark.parametrize("name", ["", "x" * 1025, "é" * 513, "\ud800", 3])
async def test_bad_names_are_refused(runtime: LocalRuntime, name: str) -> None:
    with pytest.raises(BadName):
        runtime.get(Note, name)


@pytest.mark.parametrize("name", ["../../etc", "a/b", "x" * 1024, "a\0b", "%2F", "CON", " "])
async def test_any_other_string_is_a_name(runtime: LocalRuntime, name: str) -> None:
    await runtime.get(Note, name).set(len(name))
    assert await runtime.get(Note, name).value() == len(name)


async def test_two_classes_of_one_kind_are_refused(runtime: LocalRuntime) -> None:
    class Impostor(Actor, kind="Note"):
        pass

    runtime.register(Note)
    with pytest.raises(KindConflict, match="Impostor"):
        runtime.get(Impostor, "a")


async def test_a_redefined_class_takes_over_at_the_next_start(runtime: LocalRuntime) -> None:
    def define(answer: int) -> type[Actor]:
        class Cell(Actor):
            async def answer(self) -> int:
                return answer

        return Cell

    first, second = define(1), define(2)
    assert await runtime.get(first, "a").answer() == 1  # type: ignore[attr-defined]
    assert await runtime.get(second, "a").answer() == 1  # type: ignore[attr-defined]
    assert runtime.stats().outdated == 1
    assert await runtime.get(second, "b").answer() == 2  # type: ignore[attr-defined]


async def test_a_kind_keeps_actors_when_their_class_moves(state: Path) -> None:
    class Before(Note, kind="note"):
        pass

    class After(Note, kind="note"):
        pass

    async with LocalRuntime(state) as runtime:
        await runtime.get(Before, "a").set(4)
    async with LocalRuntime(state) as runtime:
        assert await runtime.get(After, "a").value() == 4


def test_a_runtime_that_is_not_open_says_so(state: Path) -> None:
    with pytest.raises(RuntimeClosed, match="not open"):
        LocalRuntime(state).get(Note, "a")


async def test_another_event_loop_is_told_apart(runtime: LocalRuntime) -> None:
    def elsewhere() -> None:
        async def use() -> None:
            runtime.get(Note, "a")

        asyncio.run(use())

    with pytest.raises(NotActive, match="event loop"):
        await asyncio.to_thread(elsewhere)


async def test_a_class_that_is_deployed_takes_the_place_of_one_from_elsewhere(
    runtime: LocalRuntime,
) -> None:
    class Successor(Actor, kind="Note"):
        async def answer(self) -> int:
            return 42

    await runtime.get(Note, "a").set(1)
    await runtime.deploy(Successor)
    assert await runtime.get(Successor, "b").answer() == 42
    assert await runtime.get(Successor, "a").value() == 1  # type: ignore[attr-defined]
    with pytest.raises(KindConflict):
        runtime.get(Note, "a")
