"""One running incarnation of an actor."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from actors.call import CURRENT, Call
from actors.errors import ActorBroken
from actors.exclusive import Exclusive
from actors.mailbox import MAILBOX, TURN, Mailbox
from actors.quotas import charging
from actors.quotas.allowance import enforce, hold
from actors.shared import check_writing
from actors.steps import _Suspended
from actors.tracing import Traced
from storage.errors import FacetsError, StorageError, TransactionAcrossAwait

if TYPE_CHECKING:
    from actors.code import Body, Start
    from actors.limited import Lane
    from actors.node import Node
    from actors.outcomes import Outcomes
    from actors.quotas.meters import Meters
    from actors.transaction import Transaction


class Activation:
    """A body over its node's database, from start to sleep or break; never used again after.

    `dependency` is the newest commit that anything this actor knows may depend on: its own
    commits and the maximum carried by every call and reply it received.
    """

    __slots__ = (
        "__weakref__", "_mailbox", "allowed", "begun", "body", "broken", "capacity", "database",
        "dependency", "driven", "ended", "errors", "exclusive", "id", "idle_since", "lanes",
        "lent", "looked", "meters", "node", "on_end", "outcomes", "plain", "reading", "remote",
        "replicated", "seen", "start", "suspended", "transaction", "used",
    )  # fmt: skip

    def __init__(self, node: Node, start: Start) -> None:
        self.node = node
        self.start = start
        self.id: str = start.id or node.id
        self.database = node.database
        if start.quota is not None or node.allowances:
            hold(node, start.quota)
        self.meters: Meters | None = None
        """What it spent, if it ever did."""
        self.body: Body
        self.plain: frozenset[str]
        """Methods that are called and not iterated."""
        self.dependency = self.database.sequence
        self.replicated = False
        """Its own commits count only when the replica has them."""
        self.remote = 0
        """The newest commit that it depends on and that must be in the replica."""
        self.driven = False
        """A step of this actor is on the stack."""
        self.begun = 0
        """Calls that began, or wait to; only rises."""
        self.ended = 0
        """Calls that are over."""
        self.capacity = MAILBOX
        """Calls that may be in progress."""
        self.allowed = min(TURN, MAILBOX)
        """Calls may begin without asking until so many have begun."""
        self._mailbox: Mailbox | None = None
        self.lanes: dict[Callable[..., Any], Lane] = {}
        """Of its limited methods that were called."""
        self.outcomes: Outcomes | None = None
        """Of its calls with an idempotency key, if there were any."""
        self.lent = 0
        """Its async generators that others may iterate."""
        self.suspended: set[_Suspended] = set()
        self.looked = False
        """A shared method ran."""
        self.reading = 0
        """Shared methods under way."""
        self.broken: BaseException | None = None
        self.exclusive = Exclusive()
        self.transaction: Transaction | None = None
        """What holds this actor: calls that are not part of it wait."""
        self.on_end: list[Callable[[BaseException], object]] = []
        """Told the reason when this incarnation ends."""
        self.idle_since: float | None = None
        """When the host first saw it idle; None if it was busy."""
        self.errors = 0
        """Methods and tasks that raised."""
        self.seen = 0
        """Calls that had begun when the host last looked."""
        self.used = node.host.clock.now()
        """When the host last saw that it had been called; when it was started, before that."""

    @property
    def env(self) -> Mapping[str, Any]:
        """Plain data that the runtime was opened with."""
        return self.node.host.env

    @property
    def calls(self) -> int:
        """Calls in progress, and those that wait to begin."""
        return self.begun - self.ended

    @property
    def mailbox(self) -> Mailbox:
        """Where calls wait that come too many at once."""
        if self._mailbox is None:
            self._mailbox = Mailbox(self)
        return self._mailbox

    @property
    def busy(self) -> bool:
        """Whether a call, a task or a stream of this actor is in progress."""
        return bool(self.calls or self.suspended or self.driven or self.transaction or self.lent)

    @property
    def congested(self) -> bool:
        """Whether the next step should wait for room in the journal."""
        return self.node.host.store.congested

    def bind(self, body: Body) -> None:
        """Give the activation its body; from here its steps reach the database."""
        tracer = self.node.host.tracer
        self.body = body if tracer is None else Traced(body, tracer)
        self.replicated = self.node.host.replicates(body.contract.durability)
        if self.replicated:
            self.remote = self.database.sequence
        self.plain = body.contract.plain
        if body.contract.mailbox is not None:
            self.capacity = body.contract.mailbox
            self.allowed = min(TURN, self.capacity)
        self.database.limit(body.limits(self.node.host.store.limits))
        self.database.migrations = body.contract.migrations
        self.database.on_begin = self.begin
        self.database.owner = self
        enforce(self)

    def begin(self) -> None:
        """Called by the database before a step's transaction opens."""
        call = CURRENT.get()
        if call is not None and call.activation.broken is not None:
            raise call.activation.reason()
        if self.broken is not None:
            raise self.reason()
        if self.reading:
            check_writing(call)
        held = self.transaction if call is None else call.transaction
        if held is not None:
            held.check()
        if not self.driven:
            # A callback wrote outside every step: a step of its own, over by the next turn.
            asyncio.get_running_loop().call_soon(self.settle)

    def commit(self) -> None:
        """Commit the open step and remember what depends on it."""
        made = charging.commit(self) if self.node.allowances else self.database.commit()
        self.dependency = max(self.dependency, made)
        if self.replicated:
            self.remote = max(self.remote, self.database.sequence)

    def settle(self) -> None:
        """Commit what was written outside every step. Failing breaks the actor: the code that
        wrote has long returned, and going on would hide from everyone that it is lost."""
        if self.database.in_step and not self.driven:
            try:
                self.commit()
            except StorageError as error:
                self.node.broke(error)

    def leave(self) -> None:
        """Control is about to leave for another actor: the step ends here."""
        if self.broken is not None:
            raise self.reason()
        if not self.body.own_steps:
            self.end_step()

    def end_step(self) -> None:
        """Commit the open step, if there is one."""
        if self.database.in_step:
            if self.database.transaction_depth:
                raise TransactionAcrossAwait(
                    "a `with transaction():` block met a call to another actor"
                )
            self.commit()

    async def admit(self, call: Call | None) -> None:
        """Let a call in: at once, or when the transaction that holds this actor is over.

        `DeadlineExceeded` if it would come too late."""
        terms = None if call is None else call.terms
        if terms is not None and call is not None:
            if terms.deadline is not None:
                terms.deadline.check(call)
            if terms.transaction is not None:
                await terms.transaction.enlist(self)
                return
        while self.transaction is not None:
            await self.transaction.over()
        if self.broken is not None:
            raise self.reason()

    def learn(self, sequence: int, remote: int = 0) -> None:
        """Something that depends on commit `sequence`, and on `remote` in the replica, reached
        this actor."""
        if sequence > self.dependency:
            self.dependency = sequence
        if remote > self.remote:
            self.remote = remote

    def wrote(self, sequence: int) -> None:
        """A commit was made in its name."""
        self.learn(sequence, sequence if self.replicated else 0)

    def end(self, reason: BaseException) -> None:
        """Break this incarnation: undo its open step, interrupt its calls."""
        self.node.host.uses.ended(self)
        self.broken = reason
        if self.transaction is not None:
            self.transaction.drop(self)
        if self.database.in_step:
            self.database.rollback()
        self.body.kill(reason)
        for suspended in list(self.suspended):
            suspended.abort()
        for told in self.on_end:
            told(reason)

    def reason(self) -> BaseException:
        """Why this incarnation ended; ours are copied, so that tracebacks do not pile up."""
        reason = self.broken
        if reason is None:
            return ActorBroken(f"{self.id} is over")
        return copy.copy(reason) if isinstance(reason, FacetsError) else reason

    def new_call(self, method: str, parent: Call | None = None) -> Call:
        """A call of this activation."""
        return Call(self, method, parent)

    def parent_stub(self) -> Any:
        """A stub of the actor above; None for a root."""
        from actors.stub import Stub

        above = self.node.parent
        return None if above is None else Stub(above)
