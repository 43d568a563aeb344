"""What two processes lent each other over one link, as long as it is held.

A lender counts how often it sent a reference; a holder counts how often it got it, and tells that
number when its stand-in is gone. So a reference that is on its way is never released, whatever
becomes of the message. When either side ends, the other forgets what both lent.
"""

from __future__ import annotations

import itertools
from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from actors.faces import Face, face_of
from actors.ray.context import CallContext, depart, left, over
from actors.ray.errors import LenderGone
from actors.ray.parcels import Data, Loan, pack_arguments, unpack

Ask = Callable[[int, str, Data, CallContext | None], Awaitable[Any]]
"""Use what the other side lent: its number, a method, the arguments."""
Tell = Callable[[tuple[Any, ...]], None]
_numbers = itertools.count(1)


class Lease:
    """Something of this process that others may refer to; it is kept for them."""

    __slots__ = ("__weakref__", "face", "number", "value")

    def __init__(self, value: object, face: Face) -> None:
        self.value = value
        self.face = face
        self.number = next(_numbers)


_leases: WeakValueDictionary[int, Lease] = WeakValueDictionary()
"""By the id of the value, which it keeps alive: one value is one lease."""


def lease(value: object) -> Lease | None:
    """The lease of a value; None if nothing else can refer to it."""
    found = _leases.get(id(value))
    if found is None and (face := face_of(value)) is not None:
        found = _leases[id(value)] = Lease(value, face)
    return found


class Holding:
    """The other side's thing, held."""

    __slots__ = ("__weakref__", "_peer", "lost", "number", "times")

    def __init__(self, peer: Peer, number: int) -> None:
        self._peer = peer
        self.number = number
        self.times = 0
        """How often it came."""
        self.lost = False
        """The other side has ended."""

    async def use(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Have something done with it, where it is; `LenderGone` if that has ended."""
        if self.lost:
            raise LenderGone("the process that lent this has ended")
        data = pack_arguments(args, kwargs)
        await left("what another process lent")
        context = depart()
        try:
            return await self._peer.ask(self.number, method, data, context)
        finally:
            over(context)

    def __del__(self) -> None:
        # On any thread, in the middle of anything.
        if not self.lost and not self._peer.loop.is_closed():
            dropped = partial(self._peer.dropped, self.number, self.times)
            self._peer.loop.call_soon_threadsafe(dropped)


class Peer:
    """The process at the other end of a link."""

    def __init__(self, loop: AbstractEventLoop, ask: Ask, tell: Tell) -> None:
        self.loop = loop
        self.ask = ask
        self._tell = tell
        self._lent: dict[int, Lease] = {}
        self._sent: dict[int, int] = {}
        """How often each was, less what came back."""
        self._held: WeakValueDictionary[int, Holding] = WeakValueDictionary()
        self._stand_ins: WeakValueDictionary[int, Any] = WeakValueDictionary()

    @property
    def busy(self) -> bool:
        """Whether either side holds something of the other."""
        return bool(self._lent or self._held)

    def lend(self, loan: Loan) -> None:
        """What goes out with a message that is sent now."""
        for one in loan.leases:
            self._lent[one.number] = one
            self._sent[one.number] = self._sent.get(one.number, 0) + 1

    def give_back(self, number: int, times: int) -> None:
        """The other side let go of what came to it so often."""
        if number in self._lent:
            self._sent[number] -= times
            if self._sent[number] <= 0:
                del self._sent[number], self._lent[number]

    def method(self, number: int, name: str) -> Callable[..., Awaitable[Any]]:
        """What a use of something of this side does."""
        found = self._lent.get(number)
        if found is None:
            raise LenderGone("what was lent is not there any more")
        return partial(found.face.use, found.value, name)

    def take(self, loan: Loan) -> None:
        """What came with a message; it is held from now on."""
        for number in loan.numbers:
            holding = self._held.get(number)
            if holding is None:
                holding = self._held[number] = Holding(self, number)
            holding.times += 1
            loan.holdings.append(holding)

    def load(self, data: Data) -> Any:
        """A value that came from there."""
        if not isinstance(data, Loan):
            return unpack(data)
        with _receiving(self):
            return unpack(data.data)

    def stand_in(self, number: int, arrive: Callable[..., Any], description: Any) -> Any:
        """What stands here for something of the other side: the same at each time."""
        found = self._stand_ins.get(number)
        if found is None:
            found = self._stand_ins[number] = arrive(self._held[number], description)
        return found

    def dropped(self, number: int, times: int) -> None:
        """Nothing here refers to it any more."""
        self._tell(("drop", 0, number, times))

    def lost(self) -> None:
        """The other side has ended, with what it lent and held."""
        self._lent.clear()
        self._sent.clear()
        for holding in list(self._held.values()):
            holding.lost = True
        self._held.clear()
        self._stand_ins.clear()


_current: Peer | None = None
"""Whose value is being loaded; that is done in one go."""


@contextmanager
def _receiving(peer: Peer) -> Iterator[None]:
    global _current
    before, _current = _current, peer
    try:
        yield
    finally:
        _current = before


def stand_in(arrive: Callable[..., Any], number: int, description: Any) -> Any:
    """What a pickle says of something that was lent."""
    assert _current is not None  # noqa: S101 - such a pickle is a loan, which a peer loads
    return _current.stand_in(number, arrive, description)
