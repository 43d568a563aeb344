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

import time
from collections.abc import AsyncGenerator, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from facets.isolates import languages, loading
from facets.isolates.calls import MethodInfo, Pending, not_callable
from facets.isolates.code import Code
from facets.isolates.codec import lower
from facets.isolates.deaths import again
from facets.isolates.errors import IsolateClosed
from facets.isolates.exports import Called
from facets.isolates.files import Answers
from facets.isolates.held import too_much
from facets.isolates.image import WASM
from facets.isolates.limits import Limits
from facets.isolates.minting import NONE, Oversight
from facets.isolates.places import ARGUMENTS
from facets.isolates.pump import Pump
from facets.isolates.services import Services

if TYPE_CHECKING:
    from facets.packages.wanted import AnyBundle


@final
class Session:
    """One isolate with code in it. Belongs to the loop it was opened on.

    Calls run at the same time and interleave where they await. A call that is cancelled is
    cancelled in the guest. Once `alive` is False it stays so; open another.
    """

    __slots__ = (
        "__weakref__", "_calls", "_grants", "_meter", "_pump", "_runner", "_services", "_serving",
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
        files: Answers,
        oversight: Oversight = NONE,
    ) -> None:
        """Use `Session.open`."""
        began = time.perf_counter()
        self.limits = limits
        self.target = target
        self._services = services
        self._pump = pump = Pump(found, actor, limits, services, files, oversight, self, self.kill)
        self._runner, self._calls = pump.runner, pump.calls
        self._grants, self._serving = pump.grants, pump.serving
        self._meter = oversight.meter
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
        packages: AnyBundle | None = None,
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
        files = languages.files(code, packages, found)
        session = cls(found, target, actor, limits, services, files, oversight)
        session._pump.blob.arrays = code.image != ""
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
        self._allow()
        opening = self._pump.open(order)
        if not opening.done:
            await self._calls.wait_for_load(opening)
        answer = loading.loaded(opening.result())
        self.methods, self.migrations, self.hooks, self.plain = answer
        self.timings["load"] = (time.perf_counter() - began) * 1e3

    # -- calls ----------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether calls can be made."""
        return self._pump.dead is None

    @property
    def pending(self) -> int:
        """Calls that the guest has not answered."""
        return len(self._calls)

    async def idle(self, but: Collection[Any] = ()) -> None:
        """Return when the guest has answered every call, but those caused by one of these."""
        await self._calls.idle(but)

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
            await self._calls.wait(call)
        return call.result()

    async def deliver(
        self, timer: int, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], cause: Any
    ) -> Any:
        """The same for a timer: private methods too, and the last step says that it is done."""
        return await self.reply(["timer", timer, method], args, kwargs, cause)

    async def keep(
        self, number: int, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], cause: Any
    ) -> Any:
        """`call`, whose last step says what came of it: the operation `outcome` of `number`."""
        self._check(method, "call")
        return await self.reply(["keyed", number, method], args, kwargs, cause)

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
                    await self._calls.wait(call)
                    continue
                if not items:
                    break
                yield items.popleft()
                if not call.done:
                    call.credit += 1
                    self._pump.post(["more", call.id, 1])
            call.result()
        finally:
            if not call.done:
                self._calls.cancel(call, "the stream was closed")

    def kill(self, reason: BaseException) -> None:
        """End the isolate now. Its open step is rolled back; pending calls raise `reason`."""
        if self._pump.dead is None:
            self._pump.stop(reason)

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
        pump = self._pump
        if pump.dead is not None:
            raise again(pump.dead)
        if self._calls.open:
            self._refuse_more()
            self._allow_more()
        else:
            self._allow()
            pump.asked()
        self._grants.home = self._services.granter(cause)
        lowered = lower(list(args), pump.blob, ARGUMENTS) if args else []
        named = lower(kwargs, pump.blob, ARGUMENTS) if kwargs else {}
        call = self._calls.begin(method, streams, cause, self._meter)
        pump.post(["call", call.id, method, lowered, named])
        return call

    def _refuse_more(self) -> None:
        """HostMemoryLimit if what waits takes too much already."""
        size = self._pump.held()
        if size > self.limits.host:
            what = f"{len(self._calls)} calls under way take {size} bytes"
            raise too_much(size, self.limits.host, what, survived=True)

    def _check(self, method: str, kind: str) -> None:
        """Raise if this method cannot be called so, and why; hooks can."""
        info = self.methods.get(method)
        if self._pump.dead is not None:
            raise again(self._pump.dead)
        if info is not None and info.kind == kind:
            return
        if method in self.hooks and kind == "call":
            return
        raise not_callable(self.target, method, info, method in self.plain, self.methods)

    def _allow(self) -> None:
        """Calls that run at once share the sum of their budgets; an idle isolate starts afresh."""
        steps, instance = self._pump.steps, self._pump.instance
        steps.served = instance.log_bytes = instance.log_calls = 0
        steps.allowed = instance.log_calls_allowed = self.limits.calls
        instance.logs_allowed = self.limits.logs

    def _allow_more(self) -> None:
        self._pump.steps.allowed += self.limits.calls
        self._pump.instance.log_calls_allowed += self.limits.calls
        self._pump.instance.logs_allowed += self.limits.logs
