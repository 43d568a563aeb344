"""Object stores for tests: one in memory, and one that fails where a test wants it to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from storage.errors import ObjectMissing, ObjectStoreFailed
from storage.objects.keys import check_key, check_prefix
from storage.objects.store import ObjectStore

Moment = Literal["before", "after"]
Result = TypeVar("Result")


class MemoryStore:
    """An `ObjectStore` in a dictionary, which several hosts may share; gone with the process."""

    url = "memory://test"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        """What is in it; a test may look and damage."""
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes:
        """The object; `ObjectMissing` if there is none."""
        try:
            return self.objects[check_key(key)]
        except KeyError as error:
            raise ObjectMissing(f"{self.url} has no {key}", url=self.url, key=key) from error

    def put(self, key: str, data: bytes) -> None:
        """Make or replace the object."""
        self.objects[check_key(key)] = bytes(data)

    def create(self, key: str, data: bytes) -> bool:
        """Make the object only if there is none: whether it holds these very bytes on return."""
        with self._lock:
            return self.objects.setdefault(check_key(key), bytes(data)) == data

    def list(self, prefix: str, after: str = "") -> list[str]:
        """Keys that begin with `prefix` and sort behind `after`, in order."""
        check_prefix(prefix)
        with self._lock:
            keys = list(self.objects)
        return sorted(key for key in keys if key.startswith(prefix) and key > after)

    def delete(self, key: str) -> None:
        """Remove the object if it is there."""
        with self._lock:
            self.objects.pop(check_key(key), None)


@dataclass(frozen=True, slots=True)
class StoreCall:
    """One moment of one call of a `FaultyStore`."""

    number: int
    """Which call of this wrapper, from 1."""
    method: str
    key: str
    moment: Moment
    """`before` the store did anything, or `after` it did and before the caller hears of it."""


@dataclass
class FaultyStore:
    """A store that another one stands behind, with a hook at both ends of every call.

    The hook may do anything: look, block until a test goes on, run another host to its end
    (so that this one stands still in the middle of a call), or raise. Raising `before` is a call
    that never arrived; raising `after` is one whose answer was lost.
    """

    store: ObjectStore
    hook: Callable[[StoreCall], None] = lambda call: None
    calls: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def get(self, key: str) -> bytes:
        """As the store behind it."""
        return self._call("get", key, lambda: self.store.get(key))

    def put(self, key: str, data: bytes) -> None:
        """As the store behind it."""
        return self._call("put", key, lambda: self.store.put(key, data))

    def create(self, key: str, data: bytes) -> bool:
        """As the store behind it."""
        return self._call("create", key, lambda: self.store.create(key, data))

    def list(self, prefix: str, after: str = "") -> list[str]:
        """As the store behind it."""
        return self._call("list", prefix, lambda: self.store.list(prefix, after))

    def delete(self, key: str) -> None:
        """As the store behind it."""
        return self._call("delete", key, lambda: self.store.delete(key))

    def _call(self, method: str, key: str, act: Callable[[], Result]) -> Result:
        with self._lock:
            self.calls += 1
            number = self.calls
        self.hook(StoreCall(number, method, key, "before"))
        result = act()
        self.hook(StoreCall(number, method, key, "after"))
        return result


def fail(call: StoreCall) -> None:
    """What a hook does to make this call fail; `ObjectStoreFailed`."""
    said = "never arrived" if call.moment == "before" else "was done, and its answer lost"
    raise ObjectStoreFailed(
        f"{call.method} of {call.key} {said}", url="faulty://test", key=call.key, cause=said
    )


def failing(
    number: int, moment: Moment = "before", methods: str = "create put"
) -> Callable[[StoreCall], None]:
    """A hook that fails the `number`-th call, from 1, of these methods, at this moment."""
    seen = 0

    def hook(call: StoreCall) -> None:
        nonlocal seen
        if call.method in methods.split() and call.moment == moment:
            seen += 1
            if seen == number:
                fail(call)

    return hook
