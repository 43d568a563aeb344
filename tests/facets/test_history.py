"""The checker of histories: what it takes, and that each of its rules rejects something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from facets import LocalRuntime
from facets.testing import History, HistoryBroken, Ledger, MemoryRuntime
from facets.testing.history import Entry, Operation

Final = list[Entry]


def wrote(caller: str, token: str, begun: int, ended: int, length: int) -> Operation:
    """A write that was acknowledged, by the activation `a`."""
    return Operation(caller, "one", token, begun, ended, "ok", length, "a")


def saw(caller: str, begun: int, ended: int, length: int) -> Operation:
    return Operation(caller, "one", "", begun, ended, "ok", length)


def unknown(caller: str, token: str, begun: int) -> Operation:
    return Operation(caller, "one", token, begun, begun + 1, "unknown")


def final(*tokens: str, by: str = "") -> Final:
    """A ledger in the end; `by` has the activation of each, `a` where it is not given."""
    return [Entry(i, token, (by or "a" * len(tokens))[i]) for i, token in enumerate(tokens)]


def rules(operations: list[Operation], entries: Final) -> set[str]:
    """What is broken."""
    history = History()
    history.operations += operations
    try:
        history.check({"one": entries})
    except HistoryBroken as error:
        return {one.rule for one in error.violations}
    return set()


FIRST, SECOND = wrote("c", "x", 1, 2, 1), wrote("c", "y", 3, 4, 2)


@pytest.mark.parametrize(
    ("rule", "operations", "entries"),
    [
        ("lost", [FIRST, SECOND], final("x")),
        ("lost", [FIRST, SECOND], final("y", "x")),
        ("lost", [FIRST], final("x", by="b")),
        ("doubled", [FIRST, unknown("c", "z", 3)], final("x", "z", "z")),
        ("refused", [Operation("c", "one", "x", 1, 2, "refused")], final("x")),
        ("forged", [FIRST], final("x", "alien")),
        ("forged", [FIRST, unknown("c", "z", 3)], [Entry(0, "x", "a"), Entry(5, "z", "a")]),
        ("epochs", [FIRST, unknown("c", "y", 3), unknown("c", "z", 3)], final(*"xyz", by="aba")),
        ("order", [wrote("c", "x", 1, 9, 2), wrote("c", "y", 2, 9, 1)], final("y", "x")),
        ("time", [wrote("c", "x", 1, 2, 2), wrote("d", "y", 3, 4, 1)], final("y", "x")),
        ("time", [FIRST, saw("d", 3, 4, 0)], final("x")),
        ("time", [FIRST, SECOND, saw("d", 5, 6, 2), saw("d", 7, 8, 1)], final("x", "y")),
        ("time", [FIRST, SECOND, unknown("d", "z", 5)], final("x", "z", "y")),
        ("time", [saw("d", 3, 4, 7)], final()),
    ],
)
def test_each_rule_rejects_what_breaks_it(
    rule: str, operations: list[Operation], entries: Final
) -> None:
    assert rule in rules(operations, entries)


@pytest.mark.parametrize(
    ("operations", "entries"),
    [
        ([FIRST, SECOND, saw("d", 5, 6, 2)], final("x", "y")),
        ([unknown("c", "x", 1), saw("d", 5, 6, 0)], final()),
        ([unknown("c", "x", 1), saw("d", 5, 6, 0), saw("d", 7, 8, 1)], final("x")),
        ([wrote("c", "x", 1, 9, 2), wrote("d", "y", 2, 8, 1)], final("y", "x")),
        ([FIRST, saw("d", 1, 9, 0), saw("e", 1, 9, 1)], final("x")),
        ([unknown("c", "z", 1), wrote("c", "y", 3, 4, 1)], final("y", "z")),
        ([FIRST, unknown("c", "z", 3)], final("x", "z", by="ab")),
    ],
)
def test_what_can_be_explained_is_no_violation(operations: list[Operation], entries: Final) -> None:
    assert rules(operations, entries) == set()


async def test_clients_of_a_runtime_that_crashes_leave_a_history_that_holds() -> None:
    async with MemoryRuntime() as runtime:
        history = History()
        for life in range(3):
            stub = runtime.get(Ledger, "one")
            clients = [history.client(f"{life}-{i}") for i in range(5)]
            work = [asyncio.ensure_future(one.append("one", stub)) for one in clients]
            work += [asyncio.ensure_future(one.read("one", stub)) for one in clients]
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            await runtime.crash()
            await asyncio.gather(*work)
        assert history.results()["ok"] > 0
        history.check({"one": await runtime.get(Ledger, "one").entries()})


async def test_a_history_on_file_is_known_whatever_became_of_its_process(
    runtime: LocalRuntime, tmp_path: Path
) -> None:
    there = History(tmp_path / "history")
    stub = runtime.get(Ledger, "one")
    await there.client("c").append("one", stub)
    there.begin("c", "one", "under way")
    there.close()
    with (tmp_path / "history").open("a") as file:
        file.write('["c", "one", "torn')
    here = History()
    here.join(tmp_path / "history")
    assert here.operations == there.operations
    assert [one.ended > 0 for one in here.operations] == [True, False]
    here.check({"one": await stub.entries()})


async def test_what_surely_did_not_run_is_told_apart_from_what_may_have() -> None:
    class Refusing:
        def __init__(self, error: Callable[[], Exception]) -> None:
            self._error = error

        async def append(self, token: str) -> tuple[int, str]:
            raise self._error()

        async def read(self) -> int:
            raise self._error()

    history = History()
    client = history.client("c", refused=(PermissionError,))
    await client.append("one", Refusing(PermissionError))
    await client.read("one", Refusing(OSError))
    assert [one.result for one in history.operations] == ["refused", "unknown"]
