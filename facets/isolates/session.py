"""A session: one piece of code in one fresh isolate. The surface that the rest of facets uses.

    session = await Session.open(Code.of(source), target="Tool", actor=True, ..., services=mine)
    await session.call("run", (20,), {})
    async for item in session.stream("watch", (), {}): ...
    session.close()

Messages, each a JSON array in an array (`codec` has the frame):

    host -> guest    [now, ...] then  call id method args kwargs | cancel id why | more id n | tick
                     ans gid value | err gid error | item gid value | end gid
                     revoke handle | drop [[export, times] ..]
    guest -> host    ok id value | err id error | item id value | end id | sleep when | again
                     call gid handle method args kwargs id? | more gid n | cancel gid
                     drop [[handle, times] ..] | long size | panic class text

`id`s are the host's, `gid`s the guest's; both only rise. An answer to an id that is not open is
a ProtocolViolation and kills, as is anything else that this table does not allow.

Capabilities: `r` in a value is a handle (`grants`), `g` an export of the guest (`exports`); going
in, `{"$": ["r", handle, {kind, name, methods}]}`, coming back `{"$": ["r", handle]}`; an export
the other way round. A `call` to an export has `[export, method]` as its method; a function's
method is "". A guest's `call` that is followed at once by `more` is a stream; `id` says which call
of the host's it is made for. After `cancel` the guest may hear of its gid once more, and ignores
it. Handle 0 is the runtime's own services.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from facets.isolates import languages, loading
from facets.isolates.calls import MethodInfo, Pending, not_callable
from facets.isolates.code import Code
from facets.isolates.codec import MALFORMED, Blob, lift, lower, pack, unpack
from facets.isolates.deaths import again, panic, too_late, why_trapped
from facets.isolates.errors import IsolateClosed, IsolateDead, ProtocolViolation
from facets.isolates.exports import Called, Exports
from facets.isolates.files import Files
from facets.isolates.grants import Grants
from facets.isolates.held import CALL, too_much, weigh
from facets.isolates.image import WASM
from facets.isolates.inbox import Inbox
from facets.isolates.instance import BOOT, PUMP, Trapped, too_large
from facets.isolates.limits import GRACE, Limits
from facets.isolates.minting import NONE, Oversight, mint
from facets.isolates.raised import raised
from facets.isolates.runner import SLICE
from facets.isolates.services import Services
from facets.isolates.serving import Serving
from facets.isolates.steps import Steps
from facets.isolates.timing import when
from facets.isolates.waiting import Waiting

if TYPE_CHECKING:
    from facets.packages.bundle import Bundle

_STREAMS = {1: "stdout", 2: "stderr"}


@final
class Session:
    """One isolate with code in it. Belongs to the loop it was opened on.

    Calls run at the same time and interleave where they await. A call that is cancelled is
    cancelled in the guest. Once `alive` is False it stays so; open another.
    """

    __slots__ = (
        "__weakref__", "_began", "_calls", "_cancelling", "_clock", "_dead", "_grants", "_hearing",
        "_idle", "_inbox", "_instance", "_loop", "_meter", "_more", "_opened", "_runner",
        "_scheduled", "_seat", "_sent", "_services", "_serving", "_steps", "_waiting", "blob",
        "hooks", "limits", "methods", "migrations", "plain", "target", "timings",
    )  # fmt: skip

    methods: Mapping[str, MethodInfo]
    """What can be called. A function target has one method, ""."""
    migrations: tuple[str, ...]
    """The class's migrations, for the owner to apply before the first call."""
    hooks: frozenset[str]
    """Which of on_start and on_stop the class has; `call` accepts them."""
    plain: frozenset[str]
    """Public functions that cannot be called because they are not async, for better errors."""
    timings: dict[str, float]
    """Milliseconds: "mint", "load"."""

    def __init__(
        self,
        found: languages.AnyImage,
        target: str,
        actor: bool,
        limits: Limits,
        services: Services,
        files: Files,
        oversight: Oversight = NONE,
    ) -> None:
        """Use `Session.open`."""
        began = time.perf_counter()
        self._loop = asyncio.get_running_loop()
        self._services = services
        self.limits = limits
        self.target = target
        self._instance, self._runner, self._clock, self._seat = mint(
            found, limits, oversight, self, lambda: self._post(["tick"])
        )
        self._meter = oversight.meter
        self._calls: dict[int, Pending] = {}
        self._cancelling: list[Pending] = []
        self._idle: list[asyncio.Future[None]] = []
        self._sent = 0
        self._inbox = Inbox()
        exports = Exports(self, services.home)
        exports.on_drop = self._flush
        self._grants = Grants(exports, services.own, services.giver)
        self._waiting = Waiting(self._grants, services, limits.output, self._runner.answer)
        self._steps = Steps(
            services, actor, self._lost, files, self._grants, self._own, self._wait_own
        )
        self._serving = Serving(self, self._grants, services, limits.output)
        self.blob = Blob(self._grants)
        self._scheduled = self._hearing = self._more = False
        self._began = 0.0  # when this turn of the loop began to run the guest
        self._dead: BaseException | None = None
        self._opened: Pending | None = None
        self.methods, self.migrations = {}, ()
        self.hooks = self.plain = frozenset()
        self.timings = {"mint": (time.perf_counter() - began) * 1e3}

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
        packages: Bundle | None = None,
        guest: Path = WASM,
        oversight: Oversight = NONE,
    ) -> Session:
        """Mint an isolate and load `code` into it.

        `target` names a class or function of the main module, or is "" for the module's public
        functions. Only with `actor` is there storage; the target must then be an Actor class.
        `identity` becomes attributes of the actor (`id`, `name`). `packages` can be imported like
        modules of the code; `guest` is the WebAssembly file that Python runs in. Raises LoadError
        if the code does not load, IsolateDead if that crosses a limit, IsolateCap for want of room.
        """
        found, code = await languages.prepare(code, guest)
        languages.check_room(limits, found)
        # Compiled code may come at any time, and where objects lie depends on it.
        compiled = found.code.get(code) if oversight.recorder is None else None
        files = Files(code, packages, found.code)
        session = cls(found, target, actor, limits, services, files, oversight)
        session.blob.arrays = code.image != ""
        with oversight.loading(session.kill):
            order = loading.order(
                code, target, actor, identity, props, env, limits.output, compiled,
                session._grants, files.tops,
            )  # fmt: skip
            await session._boot(order)
        if compiled is None and oversight.recorder is None and code.language == "python":
            found.code.loaded(code)
        return session

    async def _boot(self, order: bytes) -> None:
        began = time.perf_counter()
        opening = self._opened = Pending(0, streams=False)
        self._allow()
        self._runner.start(BOOT, order)
        if not opening.done:
            opening.timer = self._loop.call_later(self.limits.wall, self._ungraceful, opening)
            await self._wait(opening)
        self._opened = None
        opening.disarm()
        answer = loading.loaded(opening.result())
        self.methods, self.migrations, self.hooks, self.plain = answer
        self.timings["load"] = (time.perf_counter() - began) * 1e3

    # -- calls ----------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether calls can be made."""
        return self._dead is None

    @property
    def pending(self) -> int:
        """Calls that the guest has not answered."""
        return len(self._calls)

    async def idle(self, but: Collection[Any] = ()) -> None:
        """Return when the guest has answered every call, but those caused by one of these."""
        while any(call.cause not in but for call in self._calls.values()):
            waiter = self._loop.create_future()
            self._idle.append(waiter)
            await waiter

    def _wake_idle(self) -> None:
        waiting, self._idle = self._idle, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

    async def call(
        self,
        method: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        cause: Any = None,
    ) -> Any:
        """Call an `async def` method (or a hook; "" for a function target); its result.

        Arguments and result are copied. Raises what the method raised as a GuestError that is
        also that builtin, WallLimit when the time is up, IsolateDead when the isolate is killed.
        If the caller is cancelled, the method is. `cause` tells `Services` whose call it is.
        """
        self._check(method, "call")
        return await self.reply(method, args, kwargs, cause)

    async def reply(
        self, target: Called, args: tuple[Any, ...], kwargs: dict[str, Any] | None, cause: Any
    ) -> Any:
        """The result of a method of the class, or of something that the guest handed out."""
        call = self._send(target, args, kwargs, False, cause)
        if not call.done:
            call.timer = self._loop.call_later(self.limits.wall, self._overdue, call)
            await self._wait(call)
        return call.result()

    def stream(
        self,
        method: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        cause: Any = None,
    ) -> AsyncGenerator[Any, None]:
        """The items of an async generator method, each made when it is asked for.

        Closing the stream closes the generator. `Limits.wall` bounds the wait for each item.
        """
        self._check(method, "stream")
        return self.items(method, args, kwargs, cause)

    async def items(
        self, target: Called, args: tuple[Any, ...], kwargs: dict[str, Any] | None, cause: Any
    ) -> AsyncGenerator[Any, None]:
        """The items of a method of the class, or of something that the guest handed out."""
        call = self._send(target, args, kwargs, True, cause)
        items = call.items
        assert items is not None  # noqa: S101 - by its kind
        try:
            while True:
                if not items and not call.done:
                    call.timer = self._loop.call_later(self.limits.wall, self._overdue, call)
                    await self._wait(call)
                    continue
                if not items:
                    break
                yield items.popleft()
                if not call.done:
                    call.credit += 1
                    self._post(["more", call.id, 1])
            call.result()
        finally:
            if not call.done:
                self._cancel(call, "the stream was closed")

    def kill(self, reason: BaseException) -> None:
        """End the isolate now. Its open step is rolled back; pending calls raise `reason`."""
        if self._dead is not None:
            return
        self._dead = reason
        self._clock.stop()
        self._runner.stop()
        if self._seat is not None:
            self._seat.leave()
        self._steps.abandon()
        self._flush_log()
        if self._meter is not None:
            self._meter.dead = True
        for call in [*self._calls.values(), *([self._opened] if self._opened else [])]:
            call.disarm()
            call.finish(error=again(reason))
        self._calls.clear()
        self._serving.end()
        self._waiting.end()
        self._grants.clear()
        self._wake_idle()

    def close(self) -> None:
        """End the isolate without complaint; calls from now on raise IsolateClosed. Idempotent."""
        self.kill(IsolateClosed("the session is closed"))

    def _send(
        self,
        method: Called,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        streams: bool,
        cause: Any,
    ) -> Pending:
        """Queue a call, and let the guest run if it does not already."""
        if self._dead is not None:
            raise again(self._dead)
        if self._calls:
            self._refuse_more()
            self._allow_more()
        else:
            self._allow()
        self._grants.home = self._services.granter(cause)
        lowered = lower(list(args), self.blob, "args") if args else []
        named = lower(kwargs, self.blob, "kwargs") if kwargs else {}
        self._sent += 1
        call = Pending(self._sent, streams, cause)
        if self._meter is not None:
            name = method if isinstance(method, str) else method[1]
            started = self._meter.begin("stream" if streams else "call", name)
            call.meter, call.started = self._meter, started
        self._calls[call.id] = call
        self._post(["call", call.id, method, lowered, named])
        return call

    def _refuse_more(self) -> None:
        """HostMemoryLimit if what waits takes too much already."""
        size = self._held()
        if size > self.limits.host:
            what = f"{len(self._calls)} calls under way take {size} bytes"
            raise too_much(size, self.limits.host, what, survived=True)

    def _held(self) -> int:
        """Bytes of the host's memory that calls and what waits to go in take, about."""
        return self._inbox.size + self.blob.size + CALL * len(self._calls)

    def _check(self, method: str, kind: str) -> None:
        """Raise if this method cannot be called so, and why; hooks can."""
        info = self.methods.get(method)
        if self._dead is not None:
            raise again(self._dead)
        if info is not None and info.kind == kind:
            return
        if method in self.hooks and kind == "call":
            return
        raise not_callable(self.target, method, info, method in self.plain, self.methods)

    def _allow(self) -> None:
        """Calls that run at once share the sum of their budgets; an idle isolate starts afresh."""
        steps, instance = self._steps, self._instance
        steps.served = instance.log_bytes = instance.log_calls = 0
        steps.allowed = instance.log_calls_allowed = self.limits.calls
        instance.logs_allowed = self.limits.logs

    def _allow_more(self) -> None:
        self._steps.allowed += self.limits.calls
        self._instance.log_calls_allowed += self.limits.calls
        self._instance.logs_allowed += self.limits.logs

    async def _wait(self, call: Pending) -> None:
        future = call.future = self._loop.create_future()
        try:
            await future
        except asyncio.CancelledError:
            self._cancel(call, "the caller was cancelled")
            raise
        finally:
            call.future = None
            if call.timer is not None and not call.cancelled:
                call.timer.cancel()
                call.timer = None

    # -- ending a call before its time ------------------------------------------------------------

    def _cancel(self, call: Pending, why: str) -> None:
        """Cancel the call in the guest; it has `GRACE` seconds from when it hears of it."""
        if self._dead is not None or call.cancelled or call.id not in self._calls:
            return
        call.cancelled = True
        self._cancelling.append(call)
        if self._waiting.cancel(call.id) and call.grace is None:
            call.grace = self._loop.call_later(GRACE, self._ungraceful, call)
        self._post(["cancel", call.id, why])

    def _overdue(self, call: Pending) -> None:
        call.timer = None
        if call.id in self._calls:
            call.overdue = True
            if call.grace is None:
                call.grace = self._loop.call_later(GRACE, self._ungraceful, call)
            self._cancel(call, f"it took more than {self.limits.wall} s")

    def _ungraceful(self, call: Pending) -> None:
        """It was told to stop and did not."""
        self.fell(too_late(self.limits.wall, survived=False))

    def _lost(self, number: int, error: Exception) -> None:
        """A step of this call could not be committed."""
        call = self._calls.get(number)
        if call is not None:
            call.finish(error=error)
            self._cancel(call, "its step could not be committed")

    # -- the guest --------------------------------------------------------------------------------

    def say(self, message: list[Any]) -> None:
        """Called by `Serving`: with the next pump, which comes within a turn of the loop."""
        self._inbox.put(message)
        size = self._held()
        if size > self.limits.host:
            self.fell(too_much(size, self.limits.host, f"answers to it take {size} bytes"))
            return
        if not self._scheduled and not self._hearing:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def cause_of(self, number: object) -> Any:
        """Called by `Serving`: what a call of the host's that is open was caused by."""
        call = self._calls.get(number) if type(number) is int else None
        return None if call is None else call.cause

    def _own(self, number: int, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One of the runtime's own services, called in the middle of a step."""
        self._grants.home = self._services.home
        return self._services.own_now(self.cause_of(number), method, args, kwargs)

    def _wait_own(
        self, number: int, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes | None:
        """One that takes time, for synchronous code."""
        return self._waiting.begin(number, self.cause_of(number), method, args, kwargs)

    def _post(self, message: list[Any]) -> None:
        self._inbox.put(message)
        self._start_pump()

    def _start_pump(self) -> None:
        if self._dead is None and not self._runner.busy and not self._hearing:
            self._began = self._loop.time()
            self._pump()

    def _pump(self) -> None:
        """Give the guest its inbox. It may have answered when this returns."""
        header = self._inbox.take(self._clock.now())
        if self._grants.exports.dropped:
            # Last: what goes in with this pump may still name what was let go of since.
            header.append(["drop", self._grants.exports.take_dropped()])
        self._grants.sent()
        blob = self.blob
        if blob.parts:
            self.blob = Blob(self._grants, blob.arrays)
        if self._cancelling:
            self._start_grace()
        self._runner.start(PUMP, pack(header, blob))

    def _start_grace(self) -> None:
        """Those that were told to stop hear it now."""
        for call in self._cancelling:
            if call.grace is None and call.id in self._calls:
                call.grace = self._loop.call_later(GRACE, self._ungraceful, call)
        self._cancelling.clear()

    def serve(self, message: bytes) -> bytes | None:
        """Called by the runner: a storage operation, or one that waits for something outside."""
        self._flush_log()
        if self._meter is not None:
            self._meter.operations += 1
            self._meter.sent += len(message)
        weigh(message, self.limits.host)
        return self._steps.serve(message)

    def finished(self, answer: bytes) -> None:
        """Called by the runner: the pump returned. Its step is committed before it is heard."""
        self._steps.end()
        lost = self._steps.take_lost()
        self._flush_log()
        if self._dead is not None:
            return
        if self._meter is not None:
            self._meter.answered(self._instance, len(answer))
        self._hearing = self._opened is None  # what is said meanwhile goes with the next pump
        try:
            weigh(answer, self.limits.host)
            if self._opened is not None:
                self._opened.finish(answer)
                return
            header, tail = unpack(answer, self._grants)
            self._more = self._hear(header, tail, len(answer))
            self._serving.start(lost)
        except IsolateDead as error:
            self.fell(error)
        except MALFORMED as error:
            self.fell(ProtocolViolation(f"a malformed message: {error}"[:500]))
        self._hearing = False
        if self._dead is not None or not (self._inbox or self._more):
            return
        if self._inbox and self._loop.time() - self._began < SLICE:
            self._pump()  # this turn of the loop was short so far
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if self._inbox or self._more or self._grants.exports.dropped:
            self._start_pump()

    def fell(self, error: BaseException) -> None:
        """Called by the runner: the isolate is of no more use."""
        if isinstance(error, Trapped):
            error = why_trapped(str(error), self.limits)
        if self._dead is None:
            self.kill(error)
            if isinstance(error, IsolateDead):
                self._services.died(error)

    def _hear(self, messages: list[list[Any]], tail: str | None, size: int) -> bool:
        """Act on the outbox of one pump; whether the guest wants to go on at once."""
        more, due = False, math.inf
        for message in messages:
            tag = message[0]
            if tag == "ok":
                value = lift(message[2], tail)  # first: a call is closed only by a good answer
                self._answered(message[1]).finish(value)
            elif tag == "err":
                self._raised(message[1], message[2])
            elif tag == "item":
                self._item(self._calls[message[1]], lift(message[2], tail))
            elif tag == "end":
                self._answered(message[1], streams=True).finish()
            elif tag == "call":
                self._steps.count()
                if self._meter is not None:
                    self._meter.calls += 1
                self._serving.call(message, tail, size)
            elif tag == "more":
                self._serving.more(message[1], message[2])
            elif tag == "cancel":
                self._serving.cancel(message[1])
            elif tag == "drop":
                self._grants.drop(message[1])
            elif tag == "sleep":
                due = when(message[1])
            elif tag == "again":
                more = True
            elif tag == "long":
                raise too_large(int(message[1]), self.limits.output)
            elif tag == "panic":
                raise panic(message, self.limits)
            else:
                raise ValueError(f"unknown tag {tag!r}")
        self._clock.arm(due)
        return more

    def _answered(self, number: int, streams: bool = False) -> Pending:
        call = self._calls[number]
        if (call.items is not None) is not streams:
            raise ValueError("the answer of another kind of call")
        return self._closed(number)

    def _closed(self, number: int) -> Pending:
        call = self._calls.pop(number)
        if call.timer is not None or call.grace is not None:
            call.disarm()
        if self._idle:
            self._wake_idle()
        return call

    def _raised(self, number: int, description: object) -> None:
        error: Exception = raised(description)  # first: see "ok"
        call = self._closed(number)
        if call.overdue:
            late = too_late(self.limits.wall, survived=True)
            late.__cause__ = error
            error = late
        call.finish(error=error)

    def _item(self, call: Pending, value: object) -> None:
        if call.items is None or call.credit <= 0:
            raise ValueError("an item that was not asked for")
        call.credit -= 1
        if not call.done:
            call.items.append(value)
            call.wake()

    def _flush_log(self) -> None:
        logged, self._instance.logged = self._instance.logged, []
        for number, printed in logged:
            stream, text = _STREAMS.get(number, "stdout"), printed.decode("utf-8", "replace")
            if self._meter is not None:
                self._meter.log(stream, text)
            self._services.log(stream, text)
