"""Values on their way to another process: small ones as bytes, large ones in Ray's object store.

What is large is put there once, straight from the memory where it lies, and read in place on the
other side: by every process of the node from the same memory.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from actors.ray.wire import Whole, dump, load

if TYPE_CHECKING:
    from actors.ray.peer import Lease

LARGE = 100 << 10
"""Bytes from which on a value travels in the object store: Ray keeps no larger one elsewhere."""


class Parcel:
    """A large value in the object store, which keeps it as long as a parcel of it is alive."""

    __slots__ = ("_failure", "_parts", "_ref")

    def __init__(self, ref: Any) -> None:
        self._ref = ref
        self._parts: Any = None
        self._failure: Exception | None = None

    async def arrive(self) -> Exception | None:
        """Have it on this node; a failure is returned, and raised by `load`."""
        try:
            self._parts = await self._ref
        except Exception as error:  # Ray's own errors, of which each has a class
            self._failure = error
        return self._failure

    def load(self) -> Any:
        """The value again, after `arrive`. Arrays are views of the object store, and read-only."""
        if self._failure is not None:
            raise self._failure
        data, *buffers = self._parts
        return pickle.loads(data, buffers=buffers)  # noqa: S301 - as in `wire.load`

    def __reduce__(self) -> Any:
        return Parcel, (self._ref,)


class Loan:
    """A value with references in it to what stays where it is (see `peer`)."""

    __slots__ = ("data", "holdings", "leases", "numbers")

    def __init__(
        self, data: bytes | Parcel, leases: Sequence[Lease], numbers: Sequence[int]
    ) -> None:
        self.data = data
        self.leases = leases
        """Here, where it comes from."""
        self.numbers = numbers
        self.holdings: list[Any] = []
        """There."""

    def __reduce__(self) -> Any:
        return Loan, (self.data, (), self.numbers)


Data = bytes | Parcel | Loan
"""A value on its way."""


def pack_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Data:
    """The arguments of one call, as they are now."""
    for value in args:
        if type(value) is bytes and len(value) > LARGE:
            args = tuple(map(_marked, args))
            break
    if kwargs:
        kwargs = {name: _marked(value) for name, value in kwargs.items()}
    return _pack((args, kwargs), "an argument")


def pack_value(value: Any, what: str) -> Data:
    """A result or an item."""
    return _pack(_marked(value), what)


def _pack(value: Any, what: str) -> Data:
    buffers: list[pickle.PickleBuffer] = []
    leases: dict[int, Lease] = {}
    data = dump(value, what, buffers, leases)
    if not buffers and not leases and len(data) <= LARGE:
        return data
    packed = data if not buffers and len(data) <= LARGE else _put(data, buffers)
    return Loan(packed, [*leases.values()], [*leases]) if leases else packed


def _put(data: bytes, buffers: list[pickle.PickleBuffer]) -> Parcel:
    import ray

    first = data if len(data) <= LARGE else pickle.PickleBuffer(data)
    return Parcel(ray.put([first, *buffers]))


def unpack(data: Data) -> Any:
    """The value again; that of a parcel after it arrived."""
    return load(data) if isinstance(data, bytes) else data.load()  # type: ignore[union-attr]


def parcels(messages: Iterable[tuple[Any, ...]]) -> list[Parcel]:
    """Those that messages bring along."""
    parts = [part for message in messages for part in message]
    parts += [part.data for part in parts if type(part) is Loan]
    return [part for part in parts if type(part) is Parcel]


def _marked(value: Any) -> Any:
    return Whole(value) if type(value) is bytes and len(value) > LARGE else value
