"""What went into a deterministic isolate, and hashes of what came out.

A `Recording` is bytes, msgpack in an array:

    [1, language, image, seed, memory, output, fuel, complete, events]

    [0, message, bytes it may print, times]   a call of boot (the first) or pump begins
    [1, hash of the request, answer]          a storage operation in it
    [2, hash of the answer, hash of prints]   it returned
    [3, trap, hash of prints]                 it trapped: the isolate ended itself
    [4]                                       its owner ended it; a call that had begun is not run

Waits, time and randomness are not in it: they follow from the seed and from what the guest asks.
`image` is the hash of the guest, with its hash seed baked in. The CPU limit is counted in fuel,
so it hits at the same instruction each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import msgspec

from facets.isolates.engine import SLICE
from facets.isolates.errors import NotARecording
from facets.isolates.seeded import BEGUN, CALLED, ENDED, RETURNED, TRAPPED, Event, SeededInstance

if TYPE_CHECKING:
    from facets.isolates.image import Image
    from facets.isolates.limits import Limits

VERSION = 1
MOST = 64 << 20
"""Bytes of a recording; it ends before what is more, and the isolate goes on."""


@final
class Content(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A recording, read."""

    version: int
    language: str
    image: str
    seed: bytes
    memory: int
    output: int
    fuel: int
    complete: bool
    events: list[Event]


@dataclass(frozen=True, slots=True)
class Recording:
    """One isolate's life so far, to be replayed. `bytes(recording)` can be kept anywhere."""

    data: bytes

    def __bytes__(self) -> bytes:
        return self.data

    def content(self) -> Content:
        """What is in it; NotARecording if it is none, or one of another version."""
        try:
            found = msgspec.msgpack.decode(self.data, type=Content)
            events = [_EVENTS[event[0]](event) for event in found.events]
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
            raise NotARecording(f"these bytes are no recording: {error}"[:300]) from None
        if found.version != VERSION:
            raise NotARecording(
                f"this recording has version {found.version}, and {VERSION} is read here"
            )
        found.events = events
        return found


def _is(*kinds: type) -> Any:
    def check(event: tuple[Any, ...]) -> tuple[Any, ...]:
        if tuple(map(type, event[1:])) != kinds:
            raise ValueError("a malformed event")
        return event

    return check


_EVENTS = {
    BEGUN: _is(bytes, int, int),
    CALLED: _is(bytes, bytes),
    RETURNED: _is(bytes, bytes),
    TRAPPED: _is(str, bytes),
    ENDED: _is(),
}


@final
class Recorder:
    """Makes the recording of one isolate."""

    def __init__(self, seed: bytes, language: str) -> None:
        self._seed = seed
        self._language = language
        self._events: list[Event] = []
        self._size = 0
        self._whole = 0
        """Events up to the end of the last call that is over."""
        self._over = False
        self._complete = True
        self._instance: SeededInstance

    def mint(self, image: Image, limits: Limits) -> SeededInstance:
        """The instance that is recorded: a new one, as those of the pool drew randomness."""
        fuel = round(limits.cpu * 1000) * SLICE
        self._instance = SeededInstance(
            image, limits.memory, limits.output, self._seed, fuel, self._add
        )
        return self._instance

    def _add(self, *event: Any) -> None:
        if self._over:
            return
        self._size += 16 + sum([len(part) for part in event if isinstance(part, bytes)])
        if self._size > MOST:
            del self._events[self._whole :]
            self._over, self._complete = True, False
            return
        self._events.append(event)
        if event[0] in (RETURNED, TRAPPED):
            self._whole = len(self._events)
        self._over = event[0] in (TRAPPED, ENDED)

    def recording(self) -> Recording:
        """As of now."""
        of = self._instance
        content = Content(
            VERSION, self._language, of.image, self._seed, of.most, of.output, of.fuel,
            self._complete, self._events,
        )  # fmt: skip
        return Recording(msgspec.msgpack.encode(content))
