"""Calls with an idempotency key have one effect, whatever dies while they are under way."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from typing import Any

import pytest

from actors.errors import ActorMoved, RuntimeClosed
from actors.ray.errors import HostLost
from actors.ray.outbox import Outbox
from actors.ray.repeating import repeat
from actors.ray.runtime import RayRuntime
from actors.ray.stub import ActorRef
from facets import Actor, deadline
from facets.errors import DeadlineExceeded, KeyReused

KILLS = 3
CALLERS = 8


class Ledger(Actor, kind="KeysLedger"):
    async def enter(self, entry: str) -> int:
        self.kv["begun"] = self.kv.get("begun", 0) + 1
        await asyncio.sleep(0.002)
        entries = self.kv["entries"] = [*self.kv.get("entries", []), entry]
        return len(entries)

    async def entries(self) -> list[str]:
        return list(self.kv.get("entries", []))

    async def pid(self) -> int:
        return os.getpid()

    async def die_before_a_reply(self) -> None:
        """The host dies when the next call after this one is over and durable."""
        told = 0

        def post(self: Outbox, message: Any, *, last: bool = True) -> None:
            nonlocal told
            told += 1
            if told > 1:
                os.kill(os.getpid(), signal.SIGKILL)
            original(self, message, last=last)

        original, Outbox.post = Outbox.post, post  # type: ignore[method-assign]


class Clerk(Actor, kind="KeysClerk"):
    async def enter(self, ledger: Any, entry: str) -> int:
        return int(await ledger.enter(entry, idempotency_key=entry))


async def test_calls_have_one_effect_while_their_host_is_killed_again_and_again(
    runtime: RayRuntime,
) -> None:
    names = [f"ledger {i}" for i in range(3)]
    said: list[tuple[str, str, int]] = []
    over = False

    async def call(caller: int) -> None:
        number = 0
        while not over:
            name, entry = random.choice(names), f"{caller}.{number}"
            stub = runtime.get(Ledger, name)
            said.append((name, entry, await stub.enter(entry, idempotency_key=entry)))
            number += 1

    async def kill(ledger: Any, how: int) -> None:
        while True:
            try:
                if how % 2:
                    os.kill(await ledger.pid(), signal.SIGKILL)
                else:
                    await ledger.die_before_a_reply()
                return
            except HostLost:
                await asyncio.sleep(0.05)

    callers = [asyncio.ensure_future(call(one)) for one in range(CALLERS)]
    for how in range(KILLS):
        enough = len(said) + 15
        while len(said) < enough:
            await asyncio.sleep(0.01)
        await kill(runtime.get(Ledger, random.choice(names)), how)
    over = True
    await asyncio.gather(*callers)
    for name in names:
        told = {entry: place for where, entry, place in said if where == name}
        # With a key: a host that was told to die does so at the next reply, which may be this one.
        ledger = runtime.get(Ledger, name)
        entries = await ledger.entries(idempotency_key="last")  # type: ignore[call-arg]
        assert max(Counter(entries).values()) == 1
        assert {entry: place for place, entry in enumerate(entries, 1)} == told


async def test_a_key_holds_for_every_caller(runtime: RayRuntime) -> None:
    ledger, clerk = runtime.get(Ledger, "one"), runtime.get(Clerk, "two")
    assert await ledger.enter("a", idempotency_key="a") == 1  # type: ignore[call-arg]
    assert await clerk.enter(ledger, "a") == 1
    with pytest.raises(KeyReused):
        await ledger.enter("b", idempotency_key="a")  # type: ignore[call-arg]
    assert await ledger.entries() == ["a"]


class Failing:
    """A call that fails each time."""

    def __init__(self, error: Exception) -> None:
        self.attempts = 0
        self.error = error

    async def __call__(self) -> None:
        self.attempts += 1
        raise self.error


REF = ActorRef("r", "A", "a b")
FACET = ActorRef("r", "A", "a b", ("x",), 1, "token")


def lost(actor: str, method: str) -> HostLost:
    return HostLost("lost", host="h", actor=actor, method=method)


@pytest.mark.parametrize(
    "error",
    [
        lost("A:a b", "pay"),
        lost("", ""),
        ActorMoved("broken off", to="A:a b"),
        RuntimeClosed("the host is closed"),
    ],
)
async def test_a_call_that_was_broken_off_is_repeated_until_its_deadline(error: Exception) -> None:
    call = Failing(error)
    with pytest.raises((type(error), DeadlineExceeded)), deadline(0.3):
        await repeat(call, REF, "pay")
    assert call.attempts > 1


@pytest.mark.parametrize(
    ("error", "ref"),
    [
        (lost("A:a b", "other"), REF),
        (lost("B:b", "pay"), REF),
        (ActorMoved("renamed", to="A:c"), REF),
        (ActorMoved("its host has another token now", to="A:a b/x"), FACET),
        (ValueError("refused"), REF),
    ],
)
async def test_what_the_method_raised_is_the_outcome(error: Exception, ref: ActorRef) -> None:
    call = Failing(error)
    with pytest.raises(type(error)):
        await repeat(call, ref, "pay")
    assert call.attempts == 1
