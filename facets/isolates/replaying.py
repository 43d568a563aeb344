"""Lives a recorded isolate's life again, without its owner, and compares."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facets.isolates import image
from facets.isolates.errors import Divergence, IsolateDead, OtherGuest
from facets.isolates.instance import BOOT, PUMP, Trapped
from facets.isolates.recording import Content, Recording
from facets.isolates.seeded import BEGUN, CALLED, ENDED, RETURNED, TRAPPED, Event, SeededInstance

if TYPE_CHECKING:
    from facets.isolates.image import Image

_NAMES = {
    BEGUN: "a call", CALLED: "a storage operation", RETURNED: "its answer",
    TRAPPED: "its end", ENDED: "its end",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Replayed:
    """A life that was lived again and was the same."""

    pumps: int
    """Messages that went in, the load among them."""
    operations: int
    """Storage operations, which got the answers of then."""
    printed: str
    """What it printed, both streams."""
    complete: bool
    """False if the recording had become too long, or ends in the middle of a call: all before
    that was compared."""


def replay(recording: Recording) -> Replayed:
    """Run a recorded isolate again and compare everything that leaves it.

    It needs no owner and no storage, and waits for nothing: it takes as long as the guest
    computes. Blocks; from a loop, call it on a thread. Raises Divergence where the guest does
    something else than it did, OtherGuest if it was recorded with another build of the guest,
    NotARecording for bytes that are none.
    """
    content = recording.content()
    return _Replay(content, _image(content)).run()


def _image(content: Content) -> Image:
    ready = image.of_identity(content.image)  # one with packages in it, perhaps
    if ready is not None:
        return ready
    if content.language == "python":
        found = image.load()
    else:
        from facets.isolates.js import guests

        found = image.load(guests.JAVASCRIPT)
    if found.identity != content.image:
        raise OtherGuest(
            f"it was recorded with guest {content.image[:12]}, and this is {found.identity[:12]}",
            hint="replay it with the release that recorded it; if it was made with packages=, use "
            "those in this process first",
            recorded=content.image,
            found=found.identity,
        )
    return found


class _Replay:
    def __init__(self, content: Content, guest: Image) -> None:
        self._content = content
        self._events = deque(content.events)
        self._seen: deque[Event] = deque()
        self._pumps = self._operations = 0
        self._printed: list[str] = []
        self._instance = SeededInstance(
            guest, content.memory, content.output, content.seed, content.fuel, self._see
        )

    def _see(self, *event: Any) -> None:
        self._seen.append(event)

    def run(self) -> Replayed:
        try:
            complete = self._content.complete
            while self._events and self._events[0][0] != ENDED:
                if not self._is_whole():
                    complete = False
                    break
                self._pump(*self._events[0])
        finally:
            self._instance.close()
        return Replayed(self._pumps, self._operations, "".join(self._printed), complete)

    def _is_whole(self) -> bool:
        """Whether the recorded call that comes next came to an end of its own."""
        rest = list(self._events)[1:]
        end = next((event[0] for event in rest if event[0] != CALLED), ENDED)
        return end in (RETURNED, TRAPPED)

    def _pump(self, _: int, message: bytes, prints: int, times: int) -> None:
        instance = self._instance
        instance.log_bytes = instance.log_calls = 0
        instance.logs_allowed, instance.log_calls_allowed = prints, times
        instance.begin(PUMP if self._pumps else BOOT, message)
        self._pumps += 1
        self._compare()
        while not instance.poll():
            if instance.parked is not None:
                self._answer()
        with suppress(Trapped, IsolateDead):  # compared like any other end
            instance.take()
        self._printed += [text.decode("utf-8", "replace") for _, text in instance.logged]
        instance.logged = []
        self._compare()

    def _answer(self) -> None:
        """Give the guest what it got then."""
        parked = self._instance.parked
        if parked is None or parked.message is None:
            self._instance.resume(None)
            return
        expected = self._events[0]
        self._operations += 1
        self._instance.resume(expected[2] if expected[0] == CALLED else b"")
        self._compare()

    def _compare(self) -> None:
        """What was seen is what was recorded."""
        while self._seen:
            found = self._seen.popleft()
            expected: Event = self._events.popleft() if self._events else (ENDED,)
            if found != expected:
                raise self._divergence(expected, found)

    def _divergence(self, expected: Event, found: Event) -> Divergence:
        then, now = _NAMES[expected[0]], _NAMES[found[0]]
        what = now if now == then else f"{now} in place of {then}"
        if found[0] == expected[0] == RETURNED and found[1] == expected[1]:
            what = "what it printed"
        return Divergence(
            f"in message {self._pumps} of the recording {what} is not what it was",
            pump=self._pumps,
            operation=self._operations,
            what=what,
        )
