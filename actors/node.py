"""One name in the tree of actors, running or not."""

from __future__ import annotations

import asyncio
from inspect import isawaitable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from actors.activation import Activation
from actors.code import Start, Starter, as_start
from actors.errors import ActorMoved, DepthExceeded, FacetAborted
from actors.names import MAX_DEPTH, check_name, facet_id, root_id
from actors.steps import drive, finish
from actors.supervision import broke, failed, forget, permit, started
from actors.tasks import spawn

if TYPE_CHECKING:
    from actors.code import Code
    from actors.host import Host
    from actors.quotas.allowance import Allowance
    from storage import Database


class Node:
    """A place in the tree: it holds the database across incarnations and knows the running one.

    Lives as long as a stub, a running activation or a child refers to it.
    """

    __slots__ = (
        "__weakref__", "activation", "admitted", "allowances", "children", "database", "depth",
        "ended", "failure", "host", "id", "incarnation", "kind", "name", "parent", "start",
        "starting", "stopping", "waiting",
    )  # fmt: skip

    def __init__(
        self, host: Host, parent: Node | None, kind: str, name: str, database: Database
    ) -> None:
        self.host = host
        self.parent = parent
        self.kind = kind
        self.name = name
        self.database = database
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.id: str = root_id(kind, name) if parent is None else facet_id(parent.id, name)
        self.children: WeakValueDictionary[str, Node] = WeakValueDictionary()
        self.allowances: tuple[Allowance, ...] = () if parent is None else parent.allowances
        """The quotas that hold here: its own, if it has one, and those above it."""
        self.start: Start | Starter | None = None
        self.activation: Activation | None = None
        self.starting: asyncio.Task[Activation] | None = None
        self.stopping: asyncio.Future[None] | None = None
        """What a start waits for, whatever comes of it."""
        self.waiting = 0
        """Calls that wait for the start."""
        self.admitted = 0
        """Calls that did, so far."""
        self.incarnation = 0
        """Counts breaks; a stub of an earlier one answers with `ended`."""
        self.ended: BaseException | None = None
        self.failure: BaseException | None = None
        """What the newest incarnation broke by, or its start, until the next one has started."""

    def child(self, name: str) -> Node:
        """The node of a facet; made on first use, without I/O."""
        found = self.children.get(name)
        if found is None:
            check_name(name)
            if self.depth >= MAX_DEPTH:
                raise DepthExceeded(
                    f"{self.id} is {self.depth} levels deep; {MAX_DEPTH} is the most"
                )
            found = Node(self.host, self, "", name, self.database.child(name))
            self.children[name] = found
        return found

    @property
    def code(self) -> Code | None:
        """The code that runs or is being started here; None if nothing is, or not known yet."""
        if self.activation is not None:
            return self.activation.start.code  # type: ignore[no-any-return]
        if self.starting is not None and isinstance(self.start, Start):
            return self.start.code  # type: ignore[no-any-return]
        return None

    @property
    def cls(self) -> type | None:
        """The class of trusted code that runs here or would be started, as far as it is known."""
        code = self.start.code if isinstance(self.start, Start) else self.code
        return getattr(code, "cls", None)

    # -- starting -----------------------------------------------------------------------

    def wake_now(self) -> Activation | None:
        """The running activation, started on the spot if that takes no waiting; else None."""
        if self.activation is not None:
            return self.activation
        start = self.start
        if self.starting or self.stopping or not isinstance(start, Start):
            return None
        if self.parent is not None and self.parent.activation is None:
            return None
        self.host.check_open()
        if self.host.breakers and self.id in self.host.breakers:
            return None  # it failed before, and may have to wait
        try:
            activation = Activation(self, start)
            body = start.code.open(activation)
            if isawaitable(body) or "on_start" in body.contract.hooks:
                self.starting = spawn(self._start(activation, body))
                return None
            activation.bind(body)
        except Exception as error:
            failed(self, error, start.restart)
            raise
        return self._started(activation)

    async def wake(self) -> Activation:
        """The running activation; concurrent first calls share one start and its failure."""
        incarnation = self.incarnation
        while True:
            activation = self.wake_now()
            if activation is not None:
                return activation
            if self.stopping is not None:
                await asyncio.wait([self.stopping])
                continue
            if self.starting is None:
                self.starting = spawn(self._start())
            activation = await self._join(self.starting)
            self.host.check_open()
            if activation.broken is None:
                return activation
            if incarnation != self.incarnation and self.parent is not None:
                raise activation.reason()

    async def _join(self, starting: asyncio.Task[Activation]) -> Activation:
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if starting.cancelled() and self.ended is not None and not (task and task.cancelling()):
                raise self.ended from None
            raise

    async def _start(self, activation: Activation | None = None, body: Any = None) -> Activation:
        mine = asyncio.current_task()
        try:
            if activation is None:
                self.host.check_open()
                await permit(self)
                if self.parent is not None:
                    await self.parent.wake()
            return await self._bring_up(activation, body, mine)
        finally:
            if self.starting is mine:
                self.starting = None

    async def _bring_up(
        self, activation: Activation | None, body: Any, mine: asyncio.Task[Any] | None
    ) -> Activation:
        start = self.start
        try:
            if activation is None:
                start = await self._resolve()
                activation = Activation(self, start)
                body = start.code.open(activation)
            if isawaitable(body):
                body = await body
            self._check_wanted(mine)
            activation.bind(body)
            if "on_start" in body.contract.hooks:
                await self._begin_life(activation)
                self._check_wanted(mine)
        except Exception as error:
            if self.starting is mine and self.host.refused is None:
                self.starting = None
                failed(self, error, start.restart if isinstance(start, Start) else None)
            raise
        return self._started(activation)

    def _check_wanted(self, mine: asyncio.Task[Any] | None) -> None:
        """An abort cancelled this start; what it was in the middle of may not have noticed, and
        the next start does not wait for it."""
        if self.starting is not mine:
            raise asyncio.CancelledError

    def start_again(self) -> None:
        """Start as soon as its breaker allows, whether or not anybody calls."""
        self.starting = self.host.background(self._start())
        self.starting.add_done_callback(_heard)

    async def _begin_life(self, activation: Activation) -> None:
        try:
            await finish(activation.body.call(activation.new_call("on_start"), (), {}))
        except BaseException as error:
            activation.end(error)
            raise

    async def _resolve(self) -> Start:
        """What `start` says; a callable runs as code of the parent that gave it."""
        start: Any = self.start
        above = self.parent.activation if self.parent is not None else None
        if not isinstance(start, Start) and above is not None:
            start = as_start(await drive(above.new_call(f"start of {self.name!r}"), _called(start)))
        if not isinstance(start, Start):
            raise self.ended or TypeError(f"{self.id} has nothing to start")
        return start

    def _started(self, activation: Activation) -> Activation:
        self.activation = activation
        self.failure = None
        self.host.woke(activation)
        if self.host.breakers:
            started(self, activation.start.restart)
        if self.parent is not None and self.host.timers.any:
            self.host.timers.started(activation)
        if "on_socket" in activation.body.contract.hooks:
            _look_at_sockets(activation)
        return activation

    # -- moving -------------------------------------------------------------------------

    @property
    def stands(self) -> bool:
        """Whether this is the one that its place leads to: it, and nobody above, was moved."""
        if self.parent is None:
            return self.host.roots.get((self.kind, self.name)) is self
        return self.parent.children.get(self.name) is self and self.parent.stands

    def leave(self, reason: ActorMoved) -> None:
        """End for good: what was here is somewhere else."""
        self.abort(reason)
        self.start = None
        forget(self)
        if self.parent is None:
            self.host.roots.pop((self.kind, self.name), None)
        else:
            self.parent.children.pop(self.name, None)

    def take(self, database: Database) -> None:
        """What is here from now on. Nothing runs here, or below."""
        self.database = database
        for name, child in self.children.items():
            child.take(database.child(name))

    # -- ending -------------------------------------------------------------------------

    def abort(self, reason: BaseException, *, keeping: bool = False) -> None:
        """End this incarnation and those below with `reason`; storage stays.

        `keeping`: but for those below that are to go on without it.
        """
        self.incarnation += 1
        self.start = None if self.parent is not None else self.start
        self._end(reason, keeping)

    def _end(self, reason: BaseException, keeping: bool) -> None:
        for child in list(self.children.values()):
            if not (keeping and child.kept):
                child.abort(_inherited(reason, child), keeping=keeping)
        self.ended = reason
        if self.starting is not None:
            self.starting.cancel()
            self.starting = None
        activation, self.activation = self.activation, None
        if activation is not None:
            self.host.slept(activation)
            activation.end(reason)

    @property
    def kept(self) -> bool:
        """Whether it goes on when the actor above it ends, and its state does not."""
        running = self.activation.start if self.activation is not None else self.start
        return isinstance(running, Start) and running.parent_close == "keep"

    def broke(self, error: BaseException) -> None:
        """This incarnation broke by itself: end it, and let what follows follow."""
        if self.activation is None:
            return
        restart = self.activation.start.restart
        if restart is None:
            self.abort(error, keeping=True)
            broke(self, error)
        else:
            self._end(error, keeping=True)  # its stubs are those of the next one as well
            failed(self, error, restart)

    def sleep(self) -> None:
        """Put an idle activation to sleep; `on_stop` runs first if the code has one."""
        activation = self.activation
        if activation is None or self.stopping is not None:
            return
        self.activation = None
        self.host.slept(activation)
        if "on_stop" in activation.body.contract.hooks:
            self.stopping = spawn(self._stop(activation))
        else:
            self._stopped(activation)

    async def _stop(self, activation: Activation) -> None:
        try:
            await finish(activation.body.call(activation.new_call("on_stop"), (), {}))
        finally:
            self.stopping = None
            self._stopped(activation)

    def _stopped(self, activation: Activation) -> None:
        activation.end(FacetAborted(f"{self.id} went to sleep", reason="idle"))
        self.database.sleep()


def _look_at_sockets(activation: Activation) -> None:
    from actors.sockets.events import started

    started(activation)


def _heard(starting: asyncio.Task[Activation]) -> None:
    """What a start that nobody waits for raised was told to the parent."""
    if not starting.cancelled():
        starting.exception()


async def _called(start: Starter) -> Any:
    made = start()
    return await made if isawaitable(made) else made


def _inherited(reason: BaseException, child: Node) -> BaseException:
    """The reason a facet gets when an actor above it ended."""
    if isinstance(reason, FacetAborted):
        return FacetAborted(f"{child.id} ended with its parent: {reason.message}", **reason.fields)
    if isinstance(reason, ActorMoved):
        return moved(child.id, facet_id(reason.to, child.name))
    return reason


def moved(was: str, to: str) -> ActorMoved:
    """The reason for what was at one place and is at another."""
    return ActorMoved(f"{was} was moved, and is {to} now", to=to)
