"""What an activation runs: the seam between an actor's life and its code."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from actors.actor import Actor
from actors.call import CURRENT, Call
from actors.contract import Contract, contract_of
from actors.deadline import check_yield
from actors.once import KEY, no_key, run
from actors.steps import Waiting, begin, drive
from actors.values import ATOMS, copy

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.quotas.quota import Quota
    from actors.supervision import Restart
    from actors.timers import TimerCall
    from storage.limits import StorageLimits


class Code(Protocol):
    """Something that can become a running actor. Immutable; compared, never changed."""

    @property
    def label(self) -> str:
        """What to call it in errors and statistics."""

    def same(self, other: Code) -> bool:
        """Whether `get` may answer with an actor that runs `other`."""

    def open(self, activation: Activation) -> Body | Awaitable[Body]:
        """A body for this activation; at once where that is possible, else an awaitable."""


class Body(Protocol):
    """Code in one activation. Methods are checked against `contract` before a call."""

    contract: Contract
    own_steps: bool
    """It says itself where its steps end: a call it makes to another actor does not end one."""

    def call(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the first step of `call.method`: its result, or a `Waiting` for the rest of it.

        The result shares nothing mutable with the body.
        """

    def stream(
        self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """The items of `call.method`, each copied."""

    def check_timed(self, method: str) -> None:
        """Raise `NoSuchMethod` or `NotCallable` if a timer may not call it: private methods too."""

    def deliver(
        self,
        call: TimerCall,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        done: Callable[[], None],
    ) -> Any:
        """`call` for a timer, whose last step runs `done`; nobody wants its result."""

    def limits(self, most: StorageLimits) -> StorageLimits:
        """What its database may hold, and its statements do; not more than `most`."""

    async def settled(self, call: Call) -> None:
        """Return when no step runs until the end of a transaction but those of `call`'s."""

    def kill(self, reason: BaseException) -> None:
        """Stop at once: calls in progress fail with `reason`. Idempotent."""


@dataclass(frozen=True)
class Start:
    """How to start an actor: its code, and what this one is given.

    `code` is an Actor class or an isolate's actor class; `id` replaces the default id,
    and `props` is plain data that the actor sees as `self.props`. `quota` bounds what it and
    all below it use together; `facets.set_quota` changes that of one that runs. `restart` says
    what follows when it breaks: without one, the next `facets.get` starts it.

    `parent_close` says what follows when the actor above it breaks, is aborted or is replaced.
    "abort": it ends with the same reason. "keep": it goes on, with its calls, its stubs and all
    below it that is kept as well; the next incarnation of the parent finds it running. To start
    it, after a break or sleep, the parent must run again. It ends with the parent where the
    state of both does: on `delete` and `restore`, and when another takes the parent's place. What
    both wrote in a transaction that the parent did not finish is undone.
    """

    code: Any
    id: str | None = None
    props: Any = None
    quota: Quota | None = field(default=None, kw_only=True)
    restart: Restart | None = field(default=None, kw_only=True)
    parent_close: Literal["abort", "keep"] = field(default="abort", kw_only=True)


Starter = Callable[[], Any]
"""A callable that returns what to start, or an awaitable of it."""


def as_start(start: Any) -> Start | Starter:
    """What a caller may pass as `start`, made uniform; TypeError for anything else."""
    if isinstance(start, Start):
        return replace(start, code=as_code(start.code), props=copy(start.props, "props"))
    if isinstance(start, type):
        return Start(as_code(start))
    if hasattr(start, "open"):
        return Start(as_code(start), props=copy(getattr(start, "props", None), "props"))
    if callable(start):
        return start  # type: ignore[no-any-return]
    raise TypeError(
        f"{start!r} cannot be started: pass an Actor class, an isolate's actor class, "
        "facets.Start(...), or a callable that returns one"
    )


def as_code(code: Any) -> Code:
    """An Actor class or a Code, as a Code."""
    if isinstance(code, type):
        if not issubclass(code, Actor):
            raise TypeError(f"{code.__qualname__} is not an Actor class")
        return ClassCode(code)
    if hasattr(code, "open") and hasattr(code, "same"):
        return code  # type: ignore[no-any-return]
    raise TypeError(f"{code!r} is neither an Actor class nor an isolate's actor class")


@dataclass(frozen=True, slots=True)
class ClassCode:
    """Trusted code: an Actor class of this process."""

    cls: type[Actor]

    @property
    def label(self) -> str:
        """Module and name of the class."""
        return f"{self.cls.__module__}.{self.cls.__qualname__}"

    def same(self, other: Code) -> bool:
        """One class, or a later definition of it (a notebook cell that ran again)."""
        return isinstance(other, ClassCode) and self.label == other.label

    def open(self, activation: Activation) -> Body:
        """A new object of the class."""
        return ObjectBody(self.cls, activation)


class ObjectBody:
    """A Python object of this process."""

    __slots__ = ("_calls", "actor", "contract")
    own_steps = False

    def __init__(self, cls: type[Actor], activation: Activation) -> None:
        self.contract = contract_of(cls, _base_of(cls))
        self.actor = cls.__new__(cls)
        self.actor._activation = activation
        self.actor.__init__()  # type: ignore[misc]
        self._calls: dict[str, Any] = {}

    def call(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Drive the method's coroutine."""
        method = getattr(self.actor, call.method)
        # Without a test, `**kwargs` would make a dict for every call that has none.
        result = run(call, method, args, kwargs) if kwargs else begin(call, method(*args))
        if type(result) in ATOMS:
            return result
        if type(result) is Waiting:
            return Waiting(_copied(result.rest, call))
        return copy(result, "result", call.activation)

    async def stream(
        self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Drive the generator pull by pull, in one context."""
        if KEY in kwargs:
            no_key(call, kwargs, "a stream is not kept")
        context = copy_context()
        context.run(CURRENT.set, call)
        items = getattr(self.actor, call.method)(*args, **kwargs)
        try:
            while True:
                try:
                    item = await drive(call, items.asend(None), context)
                except StopAsyncIteration:
                    return
                if (current := context[CURRENT]) is not call:
                    check_yield(current)
                yield copy(item, "item", call.activation)
        finally:
            await drive(call, items.aclose(), context)

    def check_timed(self, method: str) -> None:
        """Any async method of the class itself."""
        if self.contract.methods.get(method) == "call":
            return
        cls = type(self.actor)
        member = inspect.getattr_static(cls, method, None)
        own = method.startswith("_") and not hasattr(_base_of(cls), method)
        if not own or not inspect.iscoroutinefunction(member):
            self.contract.check(method, "call")

    def deliver(
        self,
        call: TimerCall,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        done: Callable[[], None],
    ) -> Any:
        """Drive the method's coroutine, with `done` behind it."""
        return begin(call, _done(getattr(self.actor, call.method)(*args, **kwargs), done))

    def limits(self, most: StorageLimits) -> StorageLimits:
        """All that the runtime allows: the code is trusted."""
        return most

    async def settled(self, call: Call) -> None:
        """Nothing to wait for: the driver holds the steps of other calls back."""

    def kill(self, reason: BaseException) -> None:
        """Nothing to do: the activation interrupts what its driver suspended."""


async def _done(work: Awaitable[Any], done: Callable[[], None]) -> None:
    await work
    done()


async def _copied(rest: Awaitable[Any], call: Call) -> Any:
    return copy(await rest, "result", call.activation)


def _base_of(cls: type[Actor]) -> type[Actor]:
    """The nearest class that is the runtime's own, whose names are not open."""
    return next(base for base in cls.__mro__ if base.__dict__.get("_runtime_class"))


__all__ = ["Body", "ClassCode", "Code", "ObjectBody", "Start", "Starter", "as_code", "as_start"]
