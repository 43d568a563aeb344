"""What an object store can do, as far as anything here needs it.

Keys are paths of `/`-separated parts of `[A-Za-z0-9._=-]`, and no key in use is a folder of
another; objects are whole byte strings. Every method blocks and may be called from any thread,
and may be repeated after `ObjectStoreFailed`. What a store reports as done is as durable as that
store makes anything, and seen by every call that begins afterwards, also by `list`.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable


class ObjectStore(Protocol):
    """Objects by key. Frozen: a new ability is a protocol of its own."""

    def get(self, key: str) -> bytes:
        """The object; `ObjectMissing` if there is none."""

    def put(self, key: str, data: bytes) -> None:
        """Make or replace the object. Idempotent."""

    def create(self, key: str, data: bytes) -> bool:
        """Make the object only if there is none: whether it holds these very bytes on return.

        Of racing creators exactly one gets True. A repeated call with the same bytes gets True
        again, so callers that must know themselves apart put a nonce into `data`. This is the
        one primitive that fences: no clock and no etag has a part in it.
        """

    def list(self, prefix: str, after: str = "") -> list[str]:
        """Keys that begin with `prefix`, as text, and sort behind `after`, in order.

        Not a snapshot: what is made or deleted meanwhile may be there or not.
        """

    def delete(self, key: str) -> None:
        """Remove the object if it is there. Idempotent."""


@runtime_checkable
class SupportsUrgent(Protocol):
    """A store that can be asked to give up soon, for who would rather ask again."""

    def urgent(self, seconds: float) -> ObjectStore:
        """The same store, whose requests fail after so long, and are not repeated."""
