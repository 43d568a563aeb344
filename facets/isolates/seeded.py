"""A guest whose life can be lived again: what goes in and comes out of it is witnessed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final

from facets.isolates import capi
from facets.isolates.ambient import Seeded
from facets.isolates.errors import IsolateDead
from facets.isolates.instance import PUMP, Instance, Trapped

if TYPE_CHECKING:
    from facets.isolates.image import Image

BEGUN, CALLED, RETURNED, TRAPPED, ENDED = range(5)
Event = tuple[Any, ...]
"""One of those and what belongs to it, as `recording` lists them."""
Witness = Callable[..., None]


@final
class SeededInstance(Instance):
    """Time and randomness come from a seed, and a call may use so much fuel, which is exact."""

    ambient: Seeded
    __slots__ = ("_prints", "_witness", "fuel", "image", "most")

    def __init__(
        self, image: Image, memory: int, output: int, seed: bytes, fuel: int, witness: Witness
    ) -> None:
        self._witness = witness
        self._prints = hashlib.sha256()
        self.image = image.identity
        self.most = memory
        self.fuel = fuel
        super().__init__(image, memory, output, Seeded(seed))

    def begin(self, export: int, message: bytes) -> None:
        """Witnessed with what the call may print."""
        left = self.logs_allowed - self.log_bytes, self.log_calls_allowed - self.log_calls
        self._witness(BEGUN, message, *left)
        self._prints = hashlib.sha256()
        if export == PUMP:
            # In a replay no timer fires: what it is told is the time.
            self.ambient.reach(float(message[1:].partition(b",")[0].rstrip(b"]")))
        capi.check(capi.set_fuel(self._context, self.fuel))
        super().begin(export, message)

    def resume(self, answer: bytes | None) -> None:
        """Witnessed unless the guest waited for time: that follows from what it asked."""
        if answer is not None and self.parked is not None:
            self._witness(CALLED, digest(self.parked.message or b""), answer)
        super().resume(answer)

    def take(self) -> bytes:
        """Witnessed, however it ended."""
        try:
            answer = super().take()
        except (Trapped, IsolateDead) as error:
            self._witness(TRAPPED, _cause(error), self._prints.digest())
            raise
        self._witness(RETURNED, digest(answer), self._prints.digest())
        return answer

    def log(self, stream: int, text: capi.Text) -> bool:
        """Told apart by stream and by where one print ends."""
        self._prints.update(b"%d %d " % (stream, text.size))
        self._prints.update(capi.string_at(text.data, text.size))
        return super().log(stream, text)

    def close(self) -> None:
        """Witnessed."""
        self._witness(ENDED)
        super().close()


def digest(content: bytes) -> bytes:
    """What stands for it in a recording."""
    return hashlib.sha256(content).digest()


def _cause(error: Exception) -> str:
    text = str(error)
    return (text.rpartition("Caused by:")[2].strip() or text)[:500]
