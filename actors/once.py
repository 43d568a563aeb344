"""Calls with an idempotency key: run once, and answered as often as they are made.

`await stub.method(..., idempotency_key="k")`: what the method returns or raises is kept under the
key, in the actor's own database and in the commit of the method's last step, and is the answer to
every later call with that key. So a method of one step has exactly one effect, however often the
call is made and whatever dies in between; of a longer one, the steps before a crash may run again.
A call that is made inside a `facets.transaction()` is one record with all that it writes and its
outcome, whatever its steps. A block that the method itself opens is over before its last step.

A method that raises has undone its last step, as always, and its error is the outcome. Nothing is
kept of a call that was cancelled, ran out of time from outside, or was interrupted because its
actor or its host ended: the next one runs. A second call while the first is under way waits for
it. The same key with another method or other arguments is `KeyReused`; what cannot be kept
(stubs, streams, what cannot be pickled) is `NotStorable`, and the step that returns it is undone.

Kept for 24 hours by the clock of the host, and 10,000 of an actor: the oldest go first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.errors import BadName, KeyReused, NotCallable
from actors.fingerprint import fingerprint, mixed
from actors.names import check_name
from actors.outcomes import Outcomes, Raised, packed, packed_error, unpacked
from actors.steps import Waiting, begin, drive

if TYPE_CHECKING:
    from actors.call import Call
    from actors.fingerprint import Walk

KEY = "idempotency_key"
Work = Callable[..., Coroutine[Any, Any, Any]]


class Running(NamedTuple):
    """A call with a key that is under way."""

    call: Call
    digest: bytes
    over: asyncio.Future[None]


def run(call: Call, method: Work, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`begin` for a call with named arguments, of which one may be a key."""
    key = kwargs.pop(KEY, None)
    if key is None:
        return begin(call, method(*args, **kwargs))
    try:
        check_name(key)
    except BadName as error:
        raise BadName(f"{key!r} is no idempotency key: {error.message}") from None
    digest = mixed("call", [call.method.encode(), fingerprint((args, kwargs), _reference)])
    return Waiting(_once(call, key, digest, partial(method, *args, **kwargs)))


async def _once(call: Call, key: str, digest: bytes, work: Work) -> Any:
    """The outcome that is kept under `key`; if there is none, that of `work`, the code of `call`,
    which is kept from then on."""
    activation = call.activation
    if activation.outcomes is None:
        activation.outcomes = Outcomes(activation.database)
    running: dict[str, Running] = activation.outcomes.running
    while key in running:
        await _over(running[key], call, key, digest)
    mine = running[key] = Running(call, digest, asyncio.get_running_loop().create_future())
    try:
        outcome = await drive(call, _run(call, key, digest, work))
    finally:
        del running[key]
        if not mine.over.done():
            mine.over.set_result(None)
    if type(outcome) is Raised:
        raise outcome.error
    return outcome


async def _run(call: Call, key: str, digest: bytes, work: Work) -> Any:
    activation = call.activation
    database, clock, outcomes = activation.database, activation.node.host.clock, activation.outcomes
    assert outcomes is not None  # noqa: S101 - `_once` made them
    found = outcomes.find(key, clock.now())
    if found is not None:
        if found[0] != digest:
            raise _reused(call, key)
        return unpacked(found[1])
    coroutine = work()  # arguments that do not fit are no outcome
    try:
        result = await coroutine
        outcome = packed(result)
    except Exception as error:
        if activation.broken is not None or activation.node.host.refused is not None:
            raise  # it says nothing of the method
        database.rollback()
        activation.errors += 1
        outcomes.put(key, digest, packed_error(error), clock.now())
        return Raised(error)
    outcomes.put(key, digest, outcome, clock.now())
    return result


async def _over(first: Running, call: Call, key: str, digest: bytes) -> None:
    """Wait until the call that has the key is over, and this one may go on."""
    if first.digest != digest or any(one is first.call for one in call.ancestry()):
        raise _reused(call, key)
    activation = call.activation
    await asyncio.wait([first.over])
    if activation.broken is not None:
        raise activation.reason()
    await activation.admit(call)


def no_key(call: Call, kwargs: dict[str, Any], why: str) -> None:
    """Raise if a call carries a key where that has no meaning."""
    if kwargs.pop(KEY, None) is not None:
        raise NotCallable(
            f"{call} was called with an idempotency key: {why}",
            hint="call it without one",
            actor=call.activation.id,
            method=call.method,
        )


def _reused(call: Call, key: str) -> KeyReused:
    return KeyReused(
        f"the key {key!r} of {call} stands for another call",
        actor=call.activation.id,
        method=call.method,
        key=key,
    )


def _reference(value: Any, walk: Walk) -> bytes | None:
    """References are told by what they refer to, whichever host they are on."""
    refers = getattr(type(value), "_refers", False)
    return mixed("reference", [repr(value).encode()]) if refers else None
