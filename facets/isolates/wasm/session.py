"""A session of raw WebAssembly: one module, minted, and the calls made of it.

It has the surface of `isolates.session.Session`, so that entry points and facets use either. What
differs comes from what a module is: one call runs at a time and the others queue, nothing can be
told to stop without being killed, and there is no storage, so a facet of one keeps what it knows
in the module's memory, until it ends.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from typing import Any, final

from actors.errors import NoSuchMethod, NotCallable
from facets.isolates.calls import MethodInfo, Pending
from facets.isolates.code import Code
from facets.isolates.cputime import cpu_time
from facets.isolates.deaths import again, too_late
from facets.isolates.errors import CpuLimit, GuestAborted, IsolateClosed, IsolateDead, LoadError
from facets.isolates.instance import BOOT, PUMP, Trapped
from facets.isolates.limits import Limits
from facets.isolates.minting import NONE, Oversight
from facets.isolates.runner import Runner
from facets.isolates.services import Services
from facets.isolates.wasm import compiling, modules
from facets.isolates.wasm.deaths import why_trapped
from facets.isolates.wasm.guest import Guest, Program
from facets.isolates.wasm.modules import Function, RawModule


@final
class WasmSession:
    """One module with its calls. Belongs to the loop it was opened on.

    Calls run one after the other, in the order in which they were made. A call whose caller is
    cancelled before it began is forgotten; after that it runs on, and its result is dropped.
    Once `alive` is False it stays so; open another.
    """

    __slots__ = (
        "_dead", "_functions", "_guest", "_idle", "_loop", "_meter", "_number", "_opening",
        "_queue", "_runner", "_running", "_seat", "_services", "hooks", "limits", "methods",
        "migrations", "plain", "target", "timings",
    )  # fmt: skip

    def __init__(
        self,
        found: RawModule,
        target: str,
        limits: Limits,
        services: Services,
        oversight: Oversight = NONE,
    ) -> None:
        """Use `WasmSession.open`."""
        self._loop = asyncio.get_running_loop()
        self._services = services
        self._functions = _functions(found, target)
        self._seat = oversight.seat(limits)
        self._guest = Guest(found.engine, limits.memory, limits.output)
        self._runner = Runner(self._guest, self, limits.cpu)
        self._runner.budget = cpu_time(services.home)
        self._meter = oversight.meter
        if self._meter is not None:
            self._meter.runner = self._runner
        self._queue: deque[tuple[Pending, Program]] = deque()
        self._running: Pending | None = None
        self._opening: Pending | None = None
        self._idle: list[asyncio.Future[None]] = []
        self._number = 0
        self._dead: BaseException | None = None
        self.limits = limits
        self.target = target
        self.methods: Mapping[str, MethodInfo] = {
            name: MethodInfo("call")
            for name, one in self._functions.items()
            if one.unusable is None and _is_public(name)
        }
        self.migrations: tuple[str, ...] = ()
        self.hooks: frozenset[str] = frozenset()
        self.plain: frozenset[str] = frozenset()
        self.timings: dict[str, float] = {}

    @classmethod
    async def open(
        cls,
        code: Code,
        *,
        target: str,
        actor: bool,
        identity: Mapping[str, Any] | None = None,
        props: object = None,
        env: object = None,
        limits: Limits,
        services: Services,
        oversight: Oversight = NONE,
    ) -> WasmSession:
        """Compile the module if need be, mint it and run its start functions.

        `target` names an exported function, or an exported interface of a component, by its whole
        name or the last part of it; "" means the module's own functions. Raises LoadError if the
        module cannot be loaded, IsolateDead if loading crosses a limit, IsolateCap if there
        is no room.
        """
        del actor, identity
        if oversight.recorder is not None:
            raise LoadError("raw WebAssembly is not recorded", type="NotDeterministic")
        if env or props is not None:
            raise LoadError("raw WebAssembly sees neither env nor props", type="NoEnvironment")
        wasm = code.wasm
        found = modules.ready(wasm)
        if found is None:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(compiling.pool(), modules.load, wasm)
        session = cls(found, target, limits, services, oversight)
        with oversight.loading(session.kill):
            await session._boot(found)
        return session

    async def _boot(self, found: RawModule) -> None:
        began = time.perf_counter()
        opening = self._running = self._opening = Pending(0, streams=False)
        self._start(found.mint(self._guest), BOOT)
        if not opening.done:
            opening.timer = self._loop.call_later(self.limits.wall, self._overdue, opening)
            await self._wait(opening)
        opening.result()
        self._opening = None
        self.timings["load"] = (time.perf_counter() - began) * 1e3

    # -- calls ----------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether calls can be made."""
        return self._dead is None

    @property
    def pending(self) -> int:
        """Calls that are not over."""
        return len(self._queue) + (self._running is not None)

    async def idle(self, but: Collection[Any] = ()) -> None:
        """Return when every call is over; none of them can have caused one of `but`."""
        del but
        while self.pending:
            waiter = self._loop.create_future()
            self._idle.append(waiter)
            await waiter

    async def deliver(
        self, timer: int, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], cause: object
    ) -> Any:
        """The same for a timer, of which such code says nothing."""
        del timer
        return await self.call(method, args, kwargs, cause)

    async def keep(
        self, number: int, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], cause: object
    ) -> Any:
        """There is no storage in it that an outcome could be kept with: `NotCallable`."""
        del number, args, kwargs, cause
        raise NotCallable(
            f"{method} was called with an idempotency key: raw WebAssembly keeps no outcomes",
            hint="call it without one",
            method=method,
        )

    async def call(
        self,
        method: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        cause: object = None,
    ) -> Any:
        """Call an exported function ("" if the target is one); its result.

        Raises GuestError for the "err" of a result, NotTransferable for arguments that do not
        fit, WallLimit when the time is up, IsolateDead when the module traps or is killed.
        `cause` is of no use to code that reaches nothing outside.
        """
        del cause
        if self._dead is not None:
            raise again(self._dead)
        program = self._function(method).program(self._guest, args, kwargs or {})
        self._number += 1
        call = Pending(self._number, streams=False)
        if self._meter is not None:
            call.meter, call.started = self._meter, self._meter.begin("call", method)
        self._queue.append((call, program))
        self._next()
        if not call.done:
            call.timer = self._loop.call_later(self.limits.wall, self._overdue, call)
            await self._wait(call)
        return call.result()

    async def stream(
        self,
        method: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        cause: object = None,
    ) -> AsyncGenerator[Any, None]:
        """Raises NotCallable: functions of raw WebAssembly do not stream."""
        what = f"{self.target or 'the module'}.{method}"
        raise NotCallable(f"{what} is a call", hint="await it", actor=self.target, method=method)
        yield

    def kill(self, reason: BaseException) -> None:
        """End the isolate now; calls that are not over raise `reason`."""
        if self._dead is not None:
            return
        self._dead = reason
        self._runner.stop()
        if self._seat is not None:
            self._seat.leave()
        self._flush_log()
        if self._meter is not None:
            self._meter.dead = True
        calls = [call for call, _ in self._queue] + ([self._running] if self._running else [])
        for call in calls:
            call.disarm()
            call.finish(error=again(reason))
        self._queue.clear()
        self._running = None
        self._wake_idle()

    def close(self) -> None:
        """End the isolate without complaint; calls from now on raise IsolateClosed. Idempotent."""
        self.kill(IsolateClosed("the session is closed"))

    def _function(self, method: str) -> Function:
        """What can be called by this name; NotCallable or NoSuchMethod says why it cannot."""
        found = self._functions.get(method)
        if found is not None and method in self.methods:
            return found
        what = f"{self.target or 'the module'}.{method}"
        fields = {"actor": self.target, "method": method}
        if found is not None and found.unusable is not None:
            raise NotCallable(f"{what} {found.unusable}", **fields)
        if method[:1] == "_":
            raise NotCallable(
                f"{what} is private",
                hint="names with an underscore are never called from outside",
                **fields,
            )
        there = _listed(self.methods)
        raise NoSuchMethod(f"{what} does not exist", hint=f"there is {there}", **fields)

    async def _wait(self, call: Pending) -> None:
        future = call.future = self._loop.create_future()
        try:
            await future
        except asyncio.CancelledError:
            self._forget(call)
            raise
        finally:
            call.future = None
            if call is not self._running:
                call.disarm()

    def _forget(self, call: Pending) -> bool:
        """Take a call that has not begun out of the queue; whether it was there."""
        for index, (one, _) in enumerate(self._queue):
            if one is call:
                del self._queue[index]
                self._wake_idle()
                return True
        return False

    def _overdue(self, call: Pending) -> None:
        call.timer = None
        if self._forget(call):
            call.finish(error=too_late(self.limits.wall, survived=True))
        elif call is self._running:
            self.fell(too_late(self.limits.wall, survived=False))

    # -- the module -------------------------------------------------------------------------------

    def _next(self) -> None:
        """Begin the call that waits longest, if none runs."""
        if self._running is None and self._queue and self._dead is None:
            self._running, program = self._queue.popleft()
            self._start(program, PUMP)

    def _start(self, program: Program, export: int) -> None:
        self._guest.log_bytes = self._guest.log_calls = 0
        self._guest.log_calls_allowed = self.limits.calls
        self._guest.logs_allowed = self.limits.logs
        self._guest.prepare(program)
        self._runner.start(export, b"")

    def serve(self, message: bytes) -> bytes:
        """Called by the runner: never, as nothing parks."""
        raise RuntimeError("raw WebAssembly asks for nothing")

    def finished(self, answer: bytes) -> None:
        """Called by the runner: the call returned."""
        self._flush_log()
        call, self._running = self._running, None
        if call is not None:
            call.disarm()
            outcome = self._guest.outcome
            call.finish(outcome.value, outcome.error)
        self._wake_idle()
        if self._queue:
            self._loop.call_soon(self._next)  # not at once: others have a turn on the loop

    def fell(self, error: BaseException) -> None:
        """Called by the runner: the isolate is of no more use."""
        if isinstance(error, CpuLimit):
            error.hint = "compute less in one call, or raise Limits(cpu=...)"
        if isinstance(error, Trapped):
            error = why_trapped(str(error), self.limits)
            if self._running is self._opening and isinstance(error, GuestAborted):
                error = LoadError(f"while it was loaded, {error.message}", type="Trap")
        if self._dead is None:
            self.kill(error)
            if isinstance(error, IsolateDead):
                self._services.died(error)

    def _wake_idle(self) -> None:
        if not self.pending:
            waiting, self._idle = self._idle, []
            for one in waiting:
                if not one.done():
                    one.set_result(None)

    def _flush_log(self) -> None:
        logged, self._guest.logged = self._guest.logged, []
        for _, text in logged:
            line = text.decode("utf-8", "replace")
            line = line if line.endswith("\n") else line + "\n"
            if self._meter is not None:
                self._meter.log("stdout", line)
            self._services.log("stdout", line)


def _functions(found: RawModule, target: str) -> Mapping[str, Function]:
    """What a target holds; LoadError if there is no such thing."""
    own = found.scopes[""]
    if target == "" and (own or len(found.scopes) == 1):
        return own
    named = own.get(target) or own.get(target.replace("-", "_"))
    if named is not None:
        return {"": named}
    scopes = [scope for scope in found.scopes if scope and target in ("", scope, _short(scope))]
    if len(scopes) == 1:
        return found.scopes[scopes[0]]
    there = _listed([*own, *filter(None, found.scopes)])
    raise LoadError(f"the module has no {target!r}; there is {there}", type="NoTarget")


def _short(scope: str) -> str:
    """`ops` for `docs:calc/ops@0.1.0`."""
    return scope.partition("@")[0].rpartition("/")[2]


def _listed(names: Iterable[str]) -> str:
    return (", ".join(names) or "nothing")[:1000]


def _is_public(name: str) -> bool:
    return name == "" or (name.isidentifier() and name[0] != "_")
