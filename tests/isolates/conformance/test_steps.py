"""Steps, transactions and storage. Every promise in every guest language."""

from __future__ import annotations

import asyncio

import pytest

from facets.isolates.errors import (
    GuestError,
)
from storage.errors import (
    ConstraintError,
    NoRow,
    NotStorable,
    SqlError,
    TooManyRows,
    TransactionAcrossAwait,
)
from tests.isolates.conformance.conftest import Guest

# -- steps ----------------------------------------------------------------------------------------


async def test_a_call_with_storage_is_committed_once(language: Guest) -> None:
    session = await language.open()

    await session.call("savepoint")
    await session.call("add", (1, 2))

    assert language.owner.events.count("commit") == 1
    assert language.owner.values("select n from t") == [1, 4]


async def test_a_method_that_raises_loses_only_its_last_step(language: Guest) -> None:
    session = await language.open()

    with pytest.raises(ValueError, match="second step"):
        await session.call("two_steps_then_fail")

    assert language.owner.values("select n from t") == [1]
    assert language.owner.events == ["sql", "commit", "sql", "rollback"]


async def test_a_transaction_may_not_wait(language: Guest) -> None:
    session = await language.open()

    with pytest.raises(TransactionAcrossAwait):
        await session.call("across")

    assert language.owner.values("select n from t") == []
    await session.call("store", (1,))
    assert await session.call("values") == [1]


async def test_an_item_ends_a_step(language: Guest) -> None:
    session = await language.open()

    with pytest.raises(ValueError, match="after the item"):
        async for _ in session.stream("items_then_fail"):
            pass

    assert language.owner.values("select n from t") == [1]


async def test_a_commit_that_fails_fails_the_call(language: Guest) -> None:
    session = await language.open()
    language.owner.fail_commit = OSError("disk")

    with pytest.raises(OSError, match="disk"):
        await session.call("store", (1,))

    language.owner.fail_commit = None
    await session.call("store", (2,))
    assert await session.call("values") == [2]


async def test_killing_rolls_back_the_open_step(language: Guest) -> None:
    session = await language.open()
    reason = RuntimeError("the parent said so")
    owner = language.owner
    owner.on_storage = lambda op, args: owner.events.count("sql") == 1 and session.kill(reason)

    with pytest.raises(RuntimeError, match="parent said so"):
        await session.call("savepoint")

    assert not session.alive
    assert owner.values("select n from t") == []


async def test_a_failing_call_leaves_the_writes_of_others(language: Guest) -> None:
    session = await language.open()

    done = await asyncio.gather(
        session.call("store", (5,)), session.call("two_steps_then_fail"),
        session.call("store", (6,)),
        return_exceptions=True,
    )  # fmt: skip

    assert [type(one).__mro__[-4:-3] for one in done if one] == [(ValueError,)]
    assert sorted(language.owner.values("select n from t")) == [1, 5, 6]


# -- storage --------------------------------------------------------------------------------------


async def test_rows_have_columns_names_and_order(language: Guest) -> None:
    session = await language.open()

    assert await session.call("rows") == [["n", "m"], 2, [6, 8], 3, [3, 6]]


@pytest.mark.parametrize(
    ("method", "error"),
    [("none", NoRow), ("many", TooManyRows), ("broken", SqlError), ("unstorable", NotStorable)],
)
async def test_storage_errors_have_their_own_names_outside(
    language: Guest, method: str, error: type[Exception]
) -> None:
    session = await language.open()

    with pytest.raises(error) as caught:
        await session.call(method)
    assert isinstance(caught.value, GuestError)


async def test_storage_errors_have_their_own_names_inside(language: Guest) -> None:
    session = await language.open()

    assert await session.call("twice") == 19


async def test_an_error_of_the_storage_keeps_its_fields(language: Guest) -> None:
    session = await language.open(
        language.pick(
            python="from facets import Actor\nclass Tool(Actor):\n"
            "    migrations = ['create table u(n unique)']\n"
            "    async def run(self): self.sql.many('insert into u values (?)', [(1,), (1,)])",
            javascript="import {Actor} from 'facets'; export class Tool extends Actor {\n"
            "static migrations = ['create table u(n unique)'];\n"
            "async run() { this.sql.many('insert into u values (?)', [[1], [1]]); } }",
        )
    )

    with pytest.raises(ConstraintError) as caught:
        await session.call("run")
    assert caught.value.code == 19


async def test_kv_keeps_values_by_key(language: Guest) -> None:
    session = await language.open()

    assert await session.call("keys") == [[1, {"x": b"y"}], 7, True, False, 2, [["a", 1]]]


async def test_an_entry_point_has_no_storage(language: Guest) -> None:
    session = await language.open(actor=False)

    with pytest.raises(PermissionError, match="only actors have storage"):
        await session.call("store", (1,))
    assert language.owner.events == []
