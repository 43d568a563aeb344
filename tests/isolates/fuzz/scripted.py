"""A session over a guest that is only a script of what it says, without WebAssembly.

`play(script)` lets a session hear it and says how each call to the guest ended. Whatever the
script is, a call ends with an answer, with an error of the guest's making, or because the
isolate was killed; `play` raises if anything else happens: another exception, one on the loop,
a call that stays open after the session is closed.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from actors.errors import NoSuchMethod, NotCallable
from facets.capabilities.marked import capability
from facets.isolates import Code, Limits
from facets.isolates import pump as pumps
from facets.isolates.calls import Pending
from facets.isolates.errors import (
    GuestError,
    IsolateClosed,
    IsolateDead,
    LoadError,
    NotTransferable,
)
from facets.isolates.files import Files
from facets.isolates.instance import PUMP, Parked
from facets.isolates.minting import Minted
from facets.isolates.own import Own
from facets.isolates.reading import LARGE
from facets.isolates.runner import Runner
from facets.isolates.session import Session
from facets.isolates.timing import Clock
from tests.isolates.fake import Owner

CODE = Code.of("")
READY = (
    b'["ready",{"methods":{"run":"call","watch":"stream"},"exclusive":[],"migrations":[],'
    b'"hooks":[],"plain":[]}]'
)
NOTHING = b"[]"
LIMITS = Limits(calls=500, output=1 << 20, host=4 << 20)
EXPECTED = (
    GuestError, IsolateDead, IsolateClosed, LoadError, NotTransferable, NoSuchMethod, NotCallable,
)  # fmt: skip


@dataclass(frozen=True)
class Say:
    """The guest returns this from a pump, after it made these storage operations."""

    frame: bytes = NOTHING
    operations: tuple[bytes, ...] = ()


class Puppet:
    """A fiber that says what its script says."""

    def __init__(self, script: list[Say], boot: bytes = READY) -> None:
        self._boot = boot
        self._script = iter(script)
        self._now = Say()
        self._operations: Any = iter(())
        self.parked: Parked | None = None
        self.fault: IsolateDead | None = None
        self.logged: list[tuple[int, bytes]] = []
        self.log_bytes = self.log_calls = self.log_calls_allowed = self.logs_allowed = 0
        self.heard: list[bytes] = []
        self.answers: list[bytes] = []
        self.closed = False

    def begin(self, export: int, message: bytes) -> None:
        self.heard.append(message)
        self._now = next(self._script, Say()) if export == PUMP else Say(self._boot)
        self._operations = iter(self._now.operations)

    def poll(self) -> bool:
        operation = next(self._operations, None)
        if operation is None:
            return True
        self.parked = Parked(operation, 0.0, 0)
        return False

    def resume(self, answer: bytes | None) -> None:
        self.parked = None
        self.answers.append(answer or b"")

    def take(self) -> bytes:
        return self._now.frame

    def close(self) -> None:
        self.closed = True


@dataclass
class Played:
    """What became of it."""

    outcomes: list[Any]
    """The result or the error of each call to the guest."""
    owner: Owner
    puppet: Puppet
    killed: BaseException | None
    """Why the isolate ended before it was closed."""
    unexpected: list[Any] = field(default_factory=list)


@capability
async def double(x: Any = 1) -> Any:
    """What the guest is handed under handle 1."""
    return [x, x]


@capability
async def count(upto: Any = 3) -> AsyncIterator[Any]:
    """Handle 2: a stream."""
    for i in itertools.count():
        yield i


def play(script: list[Say], *, streams: bool = False, boot: bytes = READY) -> Played:
    """Open a session, call it twice at the same time, let it hear the script."""
    return asyncio.run(_play(script, streams, boot, together=True))


def play_in_turn(script: list[Say], *, streams: bool, large: int = LARGE) -> Played:
    """The same with one call after the other, and messages of more than `large` bytes read on a
    thread."""
    with mock.patch.object(pumps, "LARGE", large):
        return asyncio.run(_play(script, streams, READY, together=False))


async def _play(script: list[Say], streams: bool, boot: bytes, *, together: bool) -> Played:
    owner, puppet = Owner(), Puppet(script, boot)
    owner.own = Own()
    owner.own.offer("plain", lambda *args, **kwargs: list(args))
    played = Played([], owner, puppet, None)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: played.unexpected.append(context))
    session = _session(puppet, owner)
    try:
        await session._boot(b"")
    except EXPECTED as error:
        session.kill(error)
        played.outcomes = [error]
    else:
        await _calls(session, played, streams, together=together)
    # Everything of Session.open's that a lie could leave behind is asked for here.
    assert played.unexpected == [], played.unexpected
    assert puppet.closed
    assert not session.alive
    return played


def _session(puppet: Puppet, owner: Owner) -> Session:
    def mint(_found: Any, limits: Limits, _o: Any, of: Any, tick: Callable[[], None]) -> Any:
        loop = asyncio.get_running_loop()
        return Minted(puppet, Runner(puppet, of, limits.cpu), Clock(loop, tick), None)  # type: ignore[arg-type]

    with mock.patch.object(pumps, "mint", mint):
        files = Files(CODE, None, None)  # type: ignore[arg-type]
        return Session(None, "Tool", True, LIMITS, owner, files)  # type: ignore[arg-type]


async def _calls(session: Session, played: Played, streams: bool, *, together: bool) -> None:
    calls = [asyncio.ensure_future(_outcome(session.call("run", (double, count, [1, "x"]))))]
    if not together:
        await _quiet(session)
    if session.alive:
        other = _first(session) if streams else session.call("run", (b"bytes",))
        calls.append(asyncio.ensure_future(_outcome(other)))
    await _quiet(session)
    if not session.alive:
        played.killed = session._pump.dead
    session.close()
    async with asyncio.timeout(5):
        played.outcomes = await asyncio.gather(*calls)
        while any(task is not asyncio.current_task() for task in asyncio.all_tasks()):
            await asyncio.sleep(0)
    assert len(session._serving) == 0
    assert len(session._grants) == 0
    assert not len(session._calls)


async def _quiet(session: Session) -> None:
    """Return when all was heard that came."""
    turns = 0
    while turns < 30:
        await asyncio.sleep(0)
        turns += 1
        aside = session._pump._aside
        if aside is not None and not aside._outcome.done():
            await asyncio.wait([asyncio.wrap_future(aside._outcome)])
            turns = 0


async def _first(session: Session) -> list[Any]:
    return [item async for item in session.stream("watch")]


async def _outcome(call: Any) -> Any:
    try:
        return await call
    except EXPECTED as error:
        return error


__all__ = ["NOTHING", "READY", "Pending", "Played", "Puppet", "Say", "play", "play_in_turn"]
