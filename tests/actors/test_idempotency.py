"""`await stub.method(..., idempotency_key="k")`: one effect, however often it is called."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actors.errors import KeyReused, NotCallable, ReservedName
from actors.fingerprint import fingerprint
from actors.outcomes import COUNT
from actors.testing import VirtualClock
from facets import Actor, LocalRuntime
from facets.errors import ActorError, BadName, NotStorable, SqlError
from facets.testing import MemoryRuntime, die_everywhere

GATES: dict[str, asyncio.Event] = {}


class Odd(Exception):
    def __init__(self, one: str, other: int) -> None:
        super().__init__(f"{one}{other}")
        self.other = other


class Unkept(Exception):
    def __init__(self) -> None:
        self.lock = asyncio.get_running_loop()


class Account(Actor, kind="KeysAccount"):
    async def pay(self, amount: int = 1, **more: Any) -> Any:
        self.kv["sum"] = self.kv.get("sum", 0) + amount
        return self.kv["sum"]

    async def sum(self) -> int:
        return int(self.kv.get("sum", 0))

    async def answer(self, value: Any) -> Any:
        self.kv["sum"] = self.kv.get("sum", 0) + 1
        return value

    async def steps(self, gate: str) -> int:
        self.kv["steps"] = self.kv.get("steps", 0) + 1
        await GATES[gate].wait()
        self.kv["sum"] = self.kv.get("sum", 0) + 1
        return int(self.kv["sum"])

    async def two_steps(self) -> int:
        self.kv["steps"] = self.kv.get("steps", 0) + 1
        await asyncio.sleep(0)
        self.kv["sum"] = self.kv.get("sum", 0) + 1
        return int(self.kv["sum"])

    async def refuse(self) -> None:
        self.kv["tries"] = self.kv.get("tries", 0) + 1
        await asyncio.sleep(0)
        self.kv["sum"] = 1_000
        raise Odd("not ", 7)

    async def unkept(self) -> None:
        raise Unkept

    async def stub(self) -> Any:
        self.kv["sum"] = 1
        return self.facets.get("below", Account)

    async def get(self, key: str) -> Any:
        return self.kv.get(key)

    async def look(self) -> Any:
        return self.sql("select * from _facets_outcomes")

    async def items(self) -> Any:
        yield 1

    async def below(self, key: str) -> Any:
        return await self.facets.get("below", Account).pay(idempotency_key=key)

    async def again(self) -> Any:
        below = self.facets.get("below", Account)
        return await below.back(idempotency_key="k")

    async def back(self) -> Any:
        return await self.parent.again(idempotency_key="k")

    async def as_one(self, key: str) -> int:
        async with self.facets.transaction():
            below: Any = self.facets.get("below", Account)
            return int(await below.two_steps(idempotency_key=key))

    async def undone(self) -> None:
        below = self.facets.get("below", Account)
        async with self.facets.transaction():
            await below.pay(idempotency_key="k")
            raise ZeroDivisionError


@pytest.fixture
async def account(runtime: LocalRuntime) -> Any:
    return runtime.get(Account, "a")


async def test_a_call_with_a_key_runs_once_and_every_retry_gets_its_outcome(account: Any) -> None:
    assert [await account.pay(5, idempotency_key="k") for _ in range(3)] == [5, 5, 5]
    assert await account.pay(5, idempotency_key="other") == 10
    assert await account.pay(5, idempotency_key=None) == 15
    assert await account.sum() == 15


async def test_the_outcome_is_in_the_commit_of_the_calls_last_step(
    runtime: LocalRuntime, account: Any
) -> None:
    await account.pay(idempotency_key="first")
    before = runtime.host.store.committed
    await account.pay(idempotency_key="k")
    assert runtime.host.store.committed == before + 1


async def test_outcomes_are_there_after_a_restart(state: Path) -> None:
    async with LocalRuntime(state) as runtime:
        assert await runtime.get(Account, "a").pay(idempotency_key="k") == 1
        with pytest.raises(Odd):
            await runtime.get(Account, "a").refuse(idempotency_key="e")
    async with LocalRuntime(state) as runtime:
        assert await runtime.get(Account, "a").pay(idempotency_key="k") == 1
        with pytest.raises(Odd, match="not 7"):
            await runtime.get(Account, "a").refuse(idempotency_key="e")
        assert await runtime.get(Account, "a").sum() == 1


async def test_an_error_is_an_outcome_too_and_has_undone_its_last_step(account: Any) -> None:
    for _ in range(3):
        with pytest.raises(Odd) as caught:
            await account.refuse(idempotency_key="k")
        assert (str(caught.value), caught.value.other) == ("not 7", 7)
    assert (await account.get("tries"), await account.sum()) == (1, 0)


async def test_an_error_that_cannot_be_kept_is_told_by_its_text(account: Any) -> None:
    with pytest.raises(Unkept):
        await account.unkept(idempotency_key="k")
    with pytest.raises(ActorError, match="Unkept"):
        await account.unkept(idempotency_key="k")


async def test_calls_of_one_key_at_the_same_time_wait_for_the_first(account: Any) -> None:
    gate = GATES["same"] = asyncio.Event()
    calls = [asyncio.ensure_future(account.steps("same", idempotency_key="k")) for _ in range(5)]
    while await account.get("steps") is None:
        await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*calls) == [1] * 5
    assert await account.get("steps") == 1


async def test_a_call_that_was_cancelled_leaves_the_key_to_the_next(account: Any) -> None:
    gate = GATES["cancelled"] = asyncio.Event()
    first = asyncio.ensure_future(account.steps("cancelled", idempotency_key="k"))
    second = asyncio.ensure_future(account.steps("cancelled", idempotency_key="k"))
    while await account.get("steps") is None:
        await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert await second == 1
    assert (await account.get("steps"), await account.sum()) == (2, 1)


async def test_a_key_stands_for_one_method_with_its_arguments(account: Any) -> None:
    await account.pay(5, why={"b": 2, "a": {1, 2}}, idempotency_key="k")
    assert await account.pay(5, why={"a": {2, 1}, "b": 2}, idempotency_key="k") == 5
    for call in (
        account.pay(6, why={"b": 2, "a": {1, 2}}, idempotency_key="k"),
        account.pay(5, why={"b": 2, "a": {1, 3}}, idempotency_key="k"),
        account.answer(5, idempotency_key="k"),
    ):
        with pytest.raises(KeyReused) as caught:
            await call
        assert caught.value.key == "k"
    assert await account.sum() == 5


async def test_a_key_that_is_in_use_stands_for_one_call_already(account: Any) -> None:
    GATES["used"] = asyncio.Event()
    first = asyncio.ensure_future(account.steps("used", idempotency_key="k"))
    while await account.get("steps") is None:
        await asyncio.sleep(0)
    with pytest.raises(KeyReused):
        await account.pay(idempotency_key="k")
    GATES["used"].set()
    assert await first == 1


async def test_a_call_that_comes_back_with_its_own_key_fails_at_once(account: Any) -> None:
    with pytest.raises(KeyReused):
        await account.again(idempotency_key="k")


async def test_arguments_that_do_not_fit_are_no_outcome(account: Any) -> None:
    with pytest.raises(TypeError):
        await account.answer(idempotency_key="k")
    assert await account.answer(1, idempotency_key="k") == 1


async def test_values_of_all_kinds_come_back_as_they_were(account: Any) -> None:
    for number, value in enumerate(([1, (2, {3: b"4"})], {5, 6}, Path("7"), None, Odd("8", 9))):
        first = await account.answer(value, idempotency_key=str(number))
        again = await account.answer(value, idempotency_key=str(number))
        assert type(first) is type(again) is type(value)
        assert repr(again) == repr(value)


async def test_what_cannot_be_kept_is_refused_and_its_step_undone(account: Any) -> None:
    for _ in range(2):
        with pytest.raises(NotStorable):
            await account.stub(idempotency_key="k")
    assert await account.sum() == 0


async def test_streams_take_no_key(account: Any) -> None:
    with pytest.raises(NotCallable, match="stream"):
        [one async for one in account.items(idempotency_key="k")]


@pytest.mark.parametrize("key", ["", 5, "x" * 1025])
async def test_a_key_is_a_string_of_at_most_1_kib(account: Any, key: Any) -> None:
    with pytest.raises(BadName):
        await account.pay(idempotency_key=key)


def test_a_method_with_a_parameter_of_that_name_is_refused() -> None:
    with pytest.raises(ReservedName):

        class Bad(Actor):
            async def pay(self, *, idempotency_key: str) -> None: ...


async def test_facets_keep_outcomes_of_their_own(account: Any) -> None:
    assert [await account.below("k") for _ in range(2)] == [1, 1]
    assert await account.pay(idempotency_key="k") == 1


async def test_outcomes_are_hidden_from_sql(account: Any) -> None:
    await account.pay(idempotency_key="k")
    with pytest.raises(SqlError):
        await account.look()


async def test_outcomes_go_where_the_data_go(runtime: LocalRuntime, tmp_path: Path) -> None:
    account = runtime.get(Account, "a")
    before = (await account.pay(idempotency_key="k"), await runtime.bookmark_at(Account, "a", 9e9))
    await account.pay(idempotency_key="later")
    await runtime.clone(Account, "a", "copy")
    await runtime.export(Account, "a", tmp_path / "file")
    await runtime.import_(Account, "new", tmp_path / "file")
    await runtime.restore(Account, "a", before[1])
    for name, later in (("copy", 2), ("new", 2), ("a", 2)):
        one = runtime.get(Account, name)
        assert await one.pay(idempotency_key="k") == 1
        assert await one.pay(idempotency_key="later") == later
    assert await runtime.get(Account, "a").sum() == 2
    await runtime.delete(Account, "a")
    assert await runtime.get(Account, "a").pay(idempotency_key="later") == 1


async def test_a_transaction_that_is_undone_takes_the_outcome_along(account: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        await account.undone()
    assert await account.below("k") == 1
    assert await account.below("k") == 1


async def test_a_call_inside_a_transaction_is_one_record_with_its_outcome(
    runtime: LocalRuntime, account: Any
) -> None:
    await account.below("first")
    before = runtime.host.store.committed
    await account.as_one("k")
    assert runtime.host.store.committed == before + 1
    assert await account.as_one("k") == 2


async def test_outcomes_are_kept_for_a_day(account: Any, clock: VirtualClock) -> None:
    await account.pay(idempotency_key="k")
    await clock.run(86_399)
    assert await account.pay(idempotency_key="k") == 1
    await clock.run(2)
    assert await account.pay(idempotency_key="k") == 2


async def test_the_oldest_outcomes_go_when_there_are_too_many(
    runtime: LocalRuntime, account: Any, monkeypatch: pytest.MonkeyPatch, clock: VirtualClock
) -> None:
    assert COUNT == 10_000
    monkeypatch.setattr("actors.outcomes.COUNT", 10)
    for number in range(64):
        await account.pay(idempotency_key=str(number))
    assert await account.pay(idempotency_key="54") == 55
    assert await account.pay(idempotency_key="53") == 65
    await clock.run(86_401)
    for number in range(16):
        await account.pay(idempotency_key=f"new {number}")
    database = runtime.host.store.root("KeysAccount", "a")
    assert database.peek("select count(*) from _facets_outcomes")[0][0] <= 16


async def test_wherever_its_process_dies_a_call_has_one_effect() -> None:
    found: set[tuple[int, int]] = set()

    async def setup(runtime: MemoryRuntime) -> None:
        await runtime.get(Account, "a").pay(idempotency_key="before")

    async def act(runtime: MemoryRuntime) -> None:
        account: Any = runtime.get(Account, "a")
        await asyncio.gather(account.two_steps(idempotency_key="k"), account.pay(0))

    async def check(runtime: MemoryRuntime) -> None:
        account: Any = runtime.get(Account, "a")
        before = await account.sum()
        assert await account.two_steps(idempotency_key="k") == 2
        assert await account.two_steps(idempotency_key="k") == 2
        assert await account.sum() == 2
        assert await account.pay(idempotency_key="before") == 1
        found.add((before, await account.get("steps")))

    deaths = await die_everywhere(setup, act, check)
    assert deaths > 2
    # Before the first step was durable, between the two, and after the second.
    assert {before for before, _ in found} == {1, 2}
    assert {steps for before, steps in found if before == 2} == {1}


CRASHING = """
import asyncio, os, signal, sys
from facets import Actor, LocalRuntime

DIES = sys.argv[2] == "dies"

class Account(Actor, kind="KeysCrash"):
    async def pay(self):
        self.kv["begun"] = True
        await asyncio.sleep(0)
        self.kv["sum"] = self.kv.get("sum", 0) + 1
        if DIES:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.kv["sum"]

    async def sum(self):
        return self.kv["sum"]

async def main():
    async with LocalRuntime(sys.argv[1]) as runtime:
        account = runtime.get(Account, "a")
        print(await account.pay(idempotency_key="k"), await account.sum(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_a_process_that_is_killed_leaves_one_effect_behind_every_retry(state: Path) -> None:
    def said(how: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", CRASHING, state, how],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        return done.stdout.strip()

    assert [said("dies"), said("dies")] == ["", ""]
    assert [said("lives"), said("lives")] == ["1 1", "1 1"]


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    program = (
        "from actors.fingerprint import fingerprint; import datetime, decimal;"
        "a = ['x', 'x']; a.append(a);"
        "print(fingerprint([{'b', 'a', 'c'}, a, {'k': (1, 2.5)}, decimal.Decimal('1.50'), "
        "datetime.date(2020, 1, 1), ValueError('x', 1)]).hex())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1


def test_values_that_differ_have_other_fingerprints() -> None:
    values = [1, True, 1.0, "1", b"1", [1], (1,), {1}, {1: 1}, None, [[1]], [1, 1], Odd("1", 1)]
    assert len({fingerprint(one) for one in values}) == len(values)
