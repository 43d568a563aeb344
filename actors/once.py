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

Kept for 24 hours by the clock of the host, and 10,000 of an actor: the oldest go first. Of code in
a sandbox the newest 64 are kept, and no more than 256 KiB besides the newest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.errors import BadName, KeyReused, NotCallable
from actors.fingerprint import fingerprint, mixed
from actors.names import check_name
from actors.outcomes import FEW, Outcomes, Raised, packed, packed_error, unpacked
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
    slot = Slot(call, key, args, kwargs)
    return Waiting(_once(slot, lambda: drive(call, _run(slot, partial(method, *args, **kwargs)))))


def run_apart(
    call: Call,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    work: Callable[[Slot], Any],
    read: Callable[[bytes], Any],
) -> Waiting:
    """The same for code that says itself where its steps end: `work` runs the method, puts what
    came of it into the slot, in the last step and as bytes of its own, and returns or raises it;
    `read` does so of those bytes. A key is among `kwargs`, and is taken from there."""
    slot = Slot(call, kwargs.pop(KEY), args, kwargs)

    async def run() -> Any:
        found = slot.find()
        return read(found) if found is not None else await work(slot)

    return Waiting(_once(slot, run))


class Slot:
    """Where the outcome of one call is kept."""

    __slots__ = ("_digest", "call", "key")

    def __init__(self, call: Call, key: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            check_name(key)
        except BadName as error:
            raise BadName(f"{key!r} is no idempotency key: {error.message}") from None
        self.call = call
        self.key = key
        self._digest = mixed(
            "call", [call.method.encode(), fingerprint((args, kwargs), _reference)]
        )

    @property
    def outcomes(self) -> Outcomes:
        """Those of its actor."""
        activation = self.call.activation
        if activation.outcomes is None:
            few = FEW if activation.body.own_steps else None
            activation.outcomes = Outcomes(activation.database, few)
        return activation.outcomes

    def same(self, digest: bytes) -> bool:
        """Whether that is the digest of this call."""
        return digest == self._digest

    def begin(self) -> Running:
        """It is under way."""
        over = asyncio.get_running_loop().create_future()
        running = self.outcomes.running[self.key] = Running(self.call, self._digest, over)
        return running

    def find(self) -> bytes | None:
        """The outcome that is there already; `KeyReused` if it is that of another call."""
        found = self.outcomes.find(self.key, self._clock.now())
        if found is not None and not self.same(found[0]):
            raise _reused(self.call, self.key)
        return None if found is None else found[1]

    def put(self, outcome: bytes) -> None:
        """Keep what came of the call, in the current step."""
        self.outcomes.put(self.key, self._digest, outcome, self._clock.now())

    @property
    def _clock(self) -> Any:
        return self.call.activation.node.host.clock


async def _once(slot: Slot, work: Work) -> Any:
    """The outcome that is kept in the slot; if there is none, that of `work`, the code of its call,
    which is kept from then on."""
    running: dict[str, Running] = slot.outcomes.running
    while slot.key in running:
        await _over(running[slot.key], slot)
    mine = slot.begin()
    try:
        outcome = await work()
    finally:
        del running[slot.key]
        if not mine.over.done():
            mine.over.set_result(None)
    if type(outcome) is Raised:
        raise outcome.error
    return outcome


async def _run(slot: Slot, work: Work) -> Any:
    activation = slot.call.activation
    found = slot.find()
    if found is not None:
        return unpacked(found)
    coroutine = work()  # arguments that do not fit are no outcome
    try:
        result = await coroutine
        slot.put(packed(result))
    except Exception as error:
        if activation.broken is not None or activation.node.host.refused is not None:
            raise  # it says nothing of the method
        activation.database.rollback()
        activation.errors += 1
        slot.put(packed_error(error))
        return Raised(error)
    return result


async def _over(first: Running, slot: Slot) -> None:
    """Wait until the call that has the key is over, and this one may go on."""
    call = slot.call
    if not slot.same(first.digest) or any(one is first.call for one in call.ancestry()):
        raise _reused(call, slot.key)
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
