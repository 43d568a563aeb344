"""The base class of durable actors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from inspect import unwrap
from typing import TYPE_CHECKING, Any, ClassVar

from actors.contract import HOOKS, Durability
from actors.errors import NotActive, ReservedName
from actors.once import KEY
from actors.shared import state_of

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.durable import Storage
    from actors.quotas.errors import QuotaExceeded
    from actors.quotas.meters import Meters
    from actors.sockets.events import Event
    from actors.sockets.socket import Socket, Sockets
    from actors.timers import Timers
    from storage import Files, Kv, Sql

RESERVED = frozenset({
    "id", "name", "parent", "props", "env", "sql", "kv", "fs", "storage", "timers", "facets",
    "isolates", "meters", "sockets", "exclusive", "transaction", "durability", "mailbox",
})  # fmt: skip
"""Names that a class may not define: they are the runtime's on every actor."""


class Actor:
    """A durable object: a name, a private database, and methods that others call.

    Every public `async def` is open to callers, and every public async generator is a stream;
    plain functions, properties and names with `_` never are. One actor runs on one event
    loop, and calls interleave only where its code awaits: everything between two awaits is
    one step, whose writes become one transaction. A step that raises out of its method
    leaves nothing behind; the steps before it stay.

    Attributes of the object itself live in memory and end with the incarnation; what must
    survive goes into `sql` or `kv`.

    Class arguments: `kind`, the stable name under which its actors are kept (default: the
    name of the class); `durability`, "local" or "replicated" (default: that of the runtime);
    `mailbox`, how many calls one actor may have in progress (default: 10,000), beyond which a
    call raises `Busy`. What a subclass does not say is as in its base.
    """

    migrations: ClassVar[Sequence[str]] = ()
    """SQL applied once and in order, in the transaction of the first step that needs it."""
    kind: ClassVar[str] = "Actor"
    durability: ClassVar[Durability | None] = None
    mailbox: ClassVar[int | None] = None
    socket_replies: ClassVar[Mapping[str, str]] = {}
    """What is sent back to a client for a message that is exactly this text, while the actor goes
    on sleeping: `{"ping": "pong"}`."""
    _activation: Activation | None = None
    _runtime_class = True
    """Marks the classes whose own names are not open to callers."""

    def __init_subclass__(
        cls,
        *,
        kind: str | None = None,
        durability: Durability | None = None,
        mailbox: int | None = None,
        _provides: frozenset[str] = frozenset(),
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        cls.kind = kind or cls.__name__
        for name, member in cls.__dict__.items():
            if KEY in _parameters(member):
                raise ReservedName(
                    f"{cls.__qualname__}.{name} has a parameter {KEY!r}, which callers use to say "
                    "that calls are the same",
                    hint="choose another name",
                    name=KEY,
                    kind=cls.kind,
                )
            if name in RESERVED and name not in _provides:
                raise ReservedName(
                    f"{cls.__qualname__}.{name} would hide the runtime's own `{name}`",
                    hint="choose another name",
                    name=name,
                    kind=cls.kind,
                )
        if durability is not None:
            cls.durability = durability
        if mailbox is not None:
            if mailbox < 1:
                raise ValueError(f"mailbox={mailbox} is less than 1")
            cls.mailbox = mailbox

    @property
    def id(self) -> str:
        """The stable path of this actor: its root's kind and name, then the facets' names."""
        return self._active().id

    @property
    def name(self) -> str:
        """The name under which it was got."""
        return self._active().node.name

    @property
    def parent(self) -> Any:
        """A stub of the actor that this facet belongs to; None on a root actor."""
        return self._active().parent_stub()

    @property
    def props(self) -> Any:
        """What the parent passed as `Start(props=...)`; a private copy."""
        return self._active().start.props

    @property
    def env(self) -> Mapping[str, Any]:
        """Plain data that the runtime was opened with."""
        return self._active().env

    @property
    def sql(self) -> Sql:
        """The private SQL database: `self.sql("select ...", value)`."""
        return state_of(self._active()).sql

    @property
    def kv(self) -> Kv:
        """The private ordered key-value mapping, in the same database."""
        return state_of(self._active()).kv

    @property
    def fs(self) -> Files:
        """The private file system, in the same database: a step that is undone takes its changes
        to files along."""
        return state_of(self._active()).fs

    @property
    def storage(self) -> Storage:
        """All of that as one: bookmarks, restore, size, compact."""
        from actors.durable import Storage

        return Storage(self._active())

    @property
    def meters(self) -> Meters:
        """What it spends of units that only you can count, under the quotas that hold for it."""
        from actors.quotas.meters import Meters

        activation = self._active()
        if activation.meters is None:
            activation.meters = Meters(activation)
        return activation.meters

    @property
    def timers(self) -> Timers:
        """Methods to be called later: after, at, every, cron; durable, at least once."""
        from actors.timers import Timers

        return Timers(self._active())

    @property
    def sockets(self) -> Sockets:
        """The connections of clients: those that are open, by tag, by id; send to many."""
        from actors.sockets.socket import Sockets

        return Sockets(self._active())

    def transaction(self) -> AbstractContextManager[None]:
        """Part of a step that is undone alone: `with self.transaction():`.

        Nests. An exception that leaves the block undoes the block's writes only. It may not
        span an `await`: `TransactionAcrossAwait` is raised there.
        """
        return state_of(self._active()).transaction()

    def exclusive(self) -> AbstractAsyncContextManager[None]:
        """A critical section: `async with self.exclusive():`.

        At most one call is inside at a time, across awaits; others wait in order. Calls that
        do not ask for it are not held back. A call chain that comes back for a section it
        holds gets `ExclusiveReentered` at once.
        """
        return self._active().exclusive

    async def on_start(self) -> None:
        """Runs once when the actor wakes, before its first call; raising fails the start."""

    async def on_stop(self) -> None:
        """Runs when an idle actor is put to sleep or its runtime closes; not after a crash."""

    async def on_facet_broken(self, name: str, error: BaseException) -> None:
        """Runs when a facet of this actor broke by itself, or did not start. What it raises goes to
        the exception handler of the loop, as with all hooks that nobody waits for."""

    async def on_quota(self, name: str, error: QuotaExceeded) -> None:
        """Runs when the quota of a facet of this actor refused something, to that facet or below
        it; on a root actor, whose quota is that of its runtime, with its own name. Not again
        for one limit while it runs."""

    async def on_facet_due(self, name: str) -> None:
        """Runs when a timer of facet `name` is due and nothing says what it runs: say it here,
        with `self.facets.get(name, start)`. A class that can be imported is found without."""

    async def on_socket(self, socket: Socket) -> None:
        """Runs when a client wants to connect; returning lets it in, raising does not. A class
        that does not define it takes no sockets."""

    async def on_socket_message(self, socket: Socket, data: str | bytes) -> None:
        """Runs for each message of a client, one after the other; raising closes the socket."""

    async def on_socket_close(self, socket: Socket, code: int, reason: str) -> None:
        """Runs when a socket is closed, by whomever; after a crash of its server at the next
        start of this actor, with code 1006. What is kept with it is there until it returns."""

    async def _on_socket_event(self, event: Event) -> list[str] | None:
        from actors.sockets.events import happened

        return await happened(self, self._active(), event)

    def _active(self) -> Activation:
        if self._activation is None:
            raise NotActive(f"this {type(self).__qualname__} was not started by a runtime")
        return self._activation

    def __repr__(self) -> str:
        return f"<{type(self).__qualname__} {self.id}>" if self._activation else super().__repr__()


def _parameters(member: object) -> tuple[str, ...]:
    """What a function can be called with by name."""
    code = getattr(unwrap(member) if callable(member) else member, "__code__", None)
    return () if code is None else code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


assert set(Actor.__dict__) >= HOOKS  # noqa: S101 - the contract lists exactly these
