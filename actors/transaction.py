"""Several actors of one host in one transaction.

The databases stay what they are, one file each; SQLite cannot commit several in WAL mode as
one. Here every participant's step leaves its SQLite transaction open, and the end of the block
commits all of them and queues one record (`Store.commit_all`): after a crash all of it is
there or none.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from actors.call import CURRENT, Call, chain
from actors.clock import Timeout
from actors.errors import EffectInTransaction, NotActive, TransactionFailed, TransactionTimeout
from actors.quotas.charging import Bill

if TYPE_CHECKING:
    from actors.activation import Activation

SECONDS = 5.0
"""How long a transaction may take: everybody else waits for its participants meanwhile."""


class Transaction:
    """`async with self.facets.transaction():` - all that is written inside is kept, or nothing.

    The actor itself and every actor it calls inside, facets trusted or isolated, take part from
    their first call on and are held until the end: other calls to them wait. A step that
    raises undoes its own writes, as ever; an exception that leaves the block undoes all of it.
    Nothing may leave the host meanwhile: `EffectInTransaction`. A block inside a block, in the
    same actor or in one that was called, belongs to the outer one; when an inner block fails,
    the outer one cannot be kept.

    Who is cancelled inside, by its caller or by a deadline, is told at the end of the block, which
    is kept or undone as if nothing had been, or earlier if the block waits for another's end. So
    is a part of the block that `asyncio.timeout` bounds; `seconds` bounds all of it.

    Errors: `TransactionTimeout` after `seconds`; `TransactionFailed` if a participant broke;
    whatever makes a commit impossible (`StorageFull`, `ConstraintError`), everything undone.
    """

    __slots__ = (
        "_cancelling", "_over", "_participants", "_put_off", "_task", "_timeout", "_waits_for",
        "call", "doomed", "kept", "seconds",
    )  # fmt: skip

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self.call: Call
        """The call that holds the block."""
        self.doomed: BaseException | None = None
        """Why it cannot be kept any more."""
        self.kept = False
        """All of it was committed."""
        self._participants: list[Activation] = []
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._put_off = False
        """Its task was cancelled meanwhile."""
        self._over: asyncio.Future[None]
        self._timeout: Timeout
        self._waits_for: Transaction | None = None

    async def begin(self, call: Call) -> None:
        """Open it in `call`, whose actor is the first participant."""
        self.call = call
        self._over = asyncio.get_running_loop().create_future()
        self._task = task = asyncio.current_task()
        self._cancelling = 0 if task is None else task.cancelling()
        self._timeout = Timeout(call.activation.node.host.clock, self.seconds)
        await self._timeout.__aenter__()
        call.join(self)
        try:
            await self.enlist(call.activation)
        except BaseException as error:
            await self.end(error)
            raise

    async def end(self, error: BaseException | None) -> None:
        """Keep everything, or after an error nothing."""
        call = self.call
        call.join(None)
        try:
            if error is None and self.doomed is None:
                self._commit()
            else:
                self._undo()
        finally:
            self._release()
            await self._close_timeout(error)
            self._catch_up(error)
        if error is None and self.doomed is not None:
            raise TransactionFailed(
                f"the transaction of {call} cannot be kept: {self.doomed}"
            ) from self.doomed

    # -- cancellation ---------------------------------------------------------------------

    def holds(self, task: asyncio.Task[object] | None) -> bool:
        """Whether the block is open in `task`."""
        return task is self._task and not self._over.done()

    def put_off(self) -> bool:
        """Its task was cancelled: whether that can wait for the end of the block."""
        if self.doomed is not None or self._timeout.expired or self._waits_for is not None:
            return False
        self._put_off = True
        return True

    def _catch_up(self, error: BaseException | None) -> None:
        """Be cancelled now, if that was put off and is still meant."""
        task = self._task
        if self._put_off and task is not None and task.cancelling() > self._cancelling:
            raise asyncio.CancelledError from error

    async def _close_timeout(self, error: BaseException | None) -> None:
        try:
            await self._timeout.__aexit__(type(error) if error else None, error, None)
        except TimeoutError as late:
            raise TransactionTimeout(
                f"the transaction of {self.call} took over {self.seconds} s and was undone",
                seconds=self.seconds,
            ) from late

    # -- participants ---------------------------------------------------------------------

    async def enlist(self, activation: Activation) -> None:
        """Hold an actor until the end; wait if another transaction holds it."""
        self.check()
        host = self.call.activation.node.host
        if activation.node.host is not host:
            raise EffectInTransaction(
                f"{activation.id} belongs to another runtime",
                hint="call it before or after the transaction",
            )
        while (held := activation.transaction) is not self:
            self.check()  # each time: it may have ended while this call waited
            if held is None:
                activation.leave()
                activation.end_step()
                activation.transaction = self
                activation.database.defer()
                self._participants.append(activation)
                await activation.body.settled(self.call)
            else:
                await self._wait_for(held)

    async def _wait_for(self, other: Transaction) -> None:
        one: Transaction | None = other
        while one is not None:
            if one is self:
                raise TransactionFailed(
                    f"the transactions of {self.call} and {other.call} wait for each other",
                    hint="take part in the same order everywhere",
                )
            one = one._waits_for
        self._waits_for = other
        try:
            await other.over()
        finally:
            self._waits_for = None

    def is_below(self, call: Call, task: asyncio.Task[object] | None) -> bool:
        """Whether `call`, waiting in `task`, waits for the very code that holds the block.

        It has to be let through, to get there; code of its own does not run before the end.
        """
        return task is self._task and any(one is call for one in self.call.ancestry())

    async def over(self) -> None:
        """Return when it has ended."""
        await asyncio.shield(self._over)

    def check(self) -> None:
        """Raise `TransactionFailed` if nothing may be done in it any more."""
        if self.doomed is not None:
            raise TransactionFailed(f"the transaction cannot be kept: {self.doomed}")
        if self._over.done():
            raise TransactionFailed(
                f"the transaction of {self.call} is over, and a call made in it went on",
                hint="await every call inside the block",
            )

    # -- the end --------------------------------------------------------------------------

    def drop(self, activation: Activation) -> None:
        """A participant broke. Its database is free at once: what takes its place takes no part."""
        self.doom(activation.reason())
        if activation in self._participants:
            self._participants.remove(activation)
            activation.database.undefer()
        activation.transaction = None

    def doom(self, reason: BaseException) -> None:
        """It cannot be kept any more: undo what was written so far."""
        if self.doomed is None:
            self.doomed = reason
            self._undo()

    def _commit(self) -> None:
        store = self.call.activation.node.host.store
        databases = [one.database for one in self._participants]
        try:
            bill = Bill.of(self._participants)
            sequence = store.commit_all(databases)
        except BaseException:
            self._undo()
            raise
        bill.settle()
        self.kept = True
        for one in self._participants:
            one.wrote(sequence)

    def _undo(self) -> None:
        for one in self._participants:
            one.database.charges = ()
            one.database.abandon()

    def _release(self) -> None:
        for one in self._participants:
            one.database.undefer()
            one.transaction = None
        self._participants = []
        if not self._over.done():
            self._over.set_result(None)


class Block:
    """What `facets.transaction()` returns."""

    __slots__ = ("_inside", "_seconds", "_transaction")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._transaction: Transaction
        self._inside = False

    async def __aenter__(self) -> None:
        call = CURRENT.get()
        if call is None:
            raise NotActive("a transaction is opened by the code of an actor")
        outer = call.transaction
        self._inside = outer is not None
        if outer is not None:
            self._transaction = outer
            return
        self._transaction = Transaction(self._seconds)
        await self._transaction.begin(call)

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not self._inside:
            await self._transaction.end(error)
        elif error is not None:
            self._transaction.doom(error)


def refuse(call: Call, what: str) -> None:
    """Raise if `call` is inside a transaction: `what` could not be undone."""
    if call.transaction is not None:
        raise EffectInTransaction(
            f"{what} cannot be undone, so it has no place in a transaction ({chain(call)})",
            hint="do it after the block",
        )
