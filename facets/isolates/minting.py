"""Mints an isolate for a session, as its owner wants to watch it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from facets.isolates.ambient import Seeded
from facets.isolates.caps import Room, Seat
from facets.isolates.errors import RecordingError
from facets.isolates.image import Image
from facets.isolates.instance import Instance
from facets.isolates.meter import Meter
from facets.isolates.recording import Recorder
from facets.isolates.runner import Owner, Runner
from facets.isolates.timing import Clock, SteadyClock

if TYPE_CHECKING:
    from facets.isolates.languages import AnyImage
    from facets.isolates.limits import Limits
    from facets.isolates.science.instance import ScienceInstance


class Oversight(NamedTuple):
    """What the owner of an isolate wants to know of it, and allows."""

    meter: Meter | None = None
    """Told of each invocation, the load first."""
    room: Room | None = None
    """What it takes up a place in until it ends."""
    recorder: Recorder | None = None
    """If there is one, the isolate is deterministic and recorded."""
    seed: bytes | None = None
    """If there is one, the isolate is deterministic."""

    def seat(self, limits: Limits) -> Seat | None:
        """Its place; IsolateCap if there is none."""
        return None if self.room is None else self.room.enter(limits.memory)

    @contextmanager
    def loading(self, failed: Callable[[BaseException], None]) -> Iterator[None]:
        """The load of the isolate: counted, and `failed` is told why if it fails."""
        started = None if self.meter is None else self.meter.begin("load", "")
        problem: BaseException | None = None
        try:
            yield
        except BaseException as error:
            problem = error
            failed(error)
            raise
        finally:
            if self.meter is not None and started is not None:
                self.meter.end(started, problem)


NONE = Oversight()


class Minted(NamedTuple):
    """A guest with nothing in it yet, and what drives it."""

    instance: Instance | ScienceInstance
    runner: Runner
    clock: Clock
    seat: Seat | None


def mint(
    found: AnyImage, limits: Limits, oversight: Oversight, owner: Owner, tick: Callable[[], None]
) -> Minted:
    """A fresh guest; `tick` is called when its timer is due. IsolateCap if there is no room."""
    loop = asyncio.get_running_loop()
    seat = oversight.seat(limits)
    try:
        if oversight.seed is None:
            instance = found.pool.take(limits.memory, limits.output)
            runner, clock = Runner(instance, owner, limits.cpu), Clock(loop, tick)
        else:
            instance, ambient = _steady(found, limits, oversight, oversight.seed)
            # The fuel of one that is recorded is its limit.
            cpu = limits.cpu if oversight.recorder is None else math.inf
            runner, clock = Runner(instance, owner, cpu), SteadyClock(loop, tick, ambient)
    except BaseException:
        if seat is not None:
            seat.leave()
        raise
    if oversight.meter is not None:
        oversight.meter.runner = runner
    return Minted(instance, runner, clock, seat)


def _steady(
    found: AnyImage, limits: Limits, oversight: Oversight, seed: bytes
) -> tuple[Instance, Seeded]:
    """A new deterministic instance, as those of the pool drew randomness, and what it sees."""
    if not isinstance(found, Image):
        raise RecordingError("this image cannot be deterministic; leave image= out")
    if oversight.recorder is not None:
        recorded = oversight.recorder.mint(found, limits)
        return recorded, recorded.ambient
    ambient = Seeded(seed)
    return Instance(found, limits.memory, limits.output, ambient), ambient
