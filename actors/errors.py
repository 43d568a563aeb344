"""Errors of the actor layer.

    FacetsError
    └── ActorError
        ├── NotCallable           the name exists but is not open to callers (AttributeError)
        ├── NoSuchMethod          no method of that name (AttributeError)
        ├── NotCopyable           an argument or result cannot be copied (TypeError)
        ├── ReservedName          a class redefines a name of the runtime (TypeError)
        ├── BadName               an actor's name is empty, too long or not a string (ValueError)
        ├── DepthExceeded         facets nested deeper than 32
        ├── KindConflict          two classes claim one kind (TypeError)
        ├── BadTimer              a timer that cannot be: a time, a cron expression (ValueError)
        ├── TimerLimit            too many timers, too large, too often
        ├── ExclusiveReentered    a call chain waits for its own exclusive section (RuntimeError)
        ├── KeyReused             an idempotency key stands for another call (ValueError)
        ├── CallDepth             calls inside calls, 64 deep (RecursionError)
        ├── Busy                  the actor has as many calls as it takes
        ├── DeadlineExceeded      a block took longer than its deadline allows (TimeoutError)
        ├── TransactionFailed     a transaction over several actors was undone
        │   └── TransactionTimeout   it took too long (TimeoutError)
        ├── DeadlineAcrossYield   a stream yields inside a block with a deadline (RuntimeError)
        ├── EffectInTransaction   something in a transaction could not be undone (RuntimeError)
        ├── OtherRuntime          a stub of another runtime is no place to move to (ValueError)
        ├── NoReplica             a replica is asked for and there is none (ValueError)
        ├── SocketClosed          a client's connection is gone (ConnectionError)
        ├── NotActive             actor surface used outside a running actor (RuntimeError)
        ├── ActorBroken           this incarnation is over
        │   ├── FacetAborted      its parent aborted it
        │   ├── FacetDeleted      it was deleted, with its data
        │   ├── ActorMoved        it has another place or name
        │   └── ActorRestored     it was put back to an older state
        ├── FacetDown             it failed again and again, and is not started for now
        ├── QuotaExceeded         more than a quota allows; the branches are in quotas.errors
        └── RuntimeClosed         the runtime is closed or closing (RuntimeError)

You do not get an `ActorBroken` for an exception that a method raised: that is the caller's
to see, and the actor goes on. An incarnation that is over answers every old stub with its
reason; ask for the actor again (`get`) to start the next one over the same data.
"""

from __future__ import annotations

from storage.errors import FacetsError


class ActorError(FacetsError):
    """Something about a call to an actor, or about its life."""


class NotCallable(ActorError, AttributeError):
    """The name exists but callers may not use it. Fields: `actor`, `method`."""


class NoSuchMethod(ActorError, AttributeError):
    """The actor has no method of that name. Fields: `actor`, `method`."""


class NotCopyable(ActorError, TypeError):
    """A value cannot be copied between actors. Field: `path`, where in the value it stands."""

    path: str


class ReservedName(ActorError, TypeError):
    """A class redefines a name that belongs to the runtime. Fields: `name`, `kind`."""


class BadName(ActorError, ValueError):
    """A name is any non-empty string of at most 1 KiB in UTF-8."""


class DepthExceeded(ActorError):
    """Facets may nest 32 deep."""


class KindConflict(ActorError, TypeError):
    """Two classes from different places claim one kind. Fields: `kind`, `first`, `second`."""


class BadTimer(ActorError, ValueError):
    """What was to be scheduled cannot be: a time, an interval, a cron expression, a backoff."""


class TimerLimit(ActorError):
    """A timer is over a limit (see `TimerLimits`). Fields: `limit`, its name, and `most`."""

    limit: str
    most: float


class ExclusiveReentered(ActorError, RuntimeError):
    """The call chain already holds this exclusive section; waiting would never end."""


class KeyReused(ActorError, ValueError):
    """An idempotency key stands for another method or other arguments, or for a call that this
    one is part of; it was not begun. Fields: `actor`, `method`, `key`."""

    hint = "a key stands for one call, and for nothing but repetitions of it"
    actor: str
    method: str
    key: str


class CallDepth(ActorError, RecursionError):
    """Calls were made one inside the other, 64 deep. Field: `depth`."""

    depth: int


class Busy(ActorError):
    """The actor takes no more calls for now; this one was not begun.

    Fields: `actor`; `waiting`, the calls that it has; `limit`.
    """

    actor: str
    waiting: int
    limit: int


class DeadlineExceeded(ActorError, TimeoutError):
    """What ran under a deadline took too long: it was cancelled, or not even begun.

    Fields: `seconds`, what it had; `method`, what was running; `chain`, the calls that led there
    ("" if no call was). Steps that were committed are kept.
    """

    seconds: float
    method: str
    chain: str


class DeadlineAcrossYield(ActorError, RuntimeError):
    """A stream yields inside `with deadline(...)`: its consumer's time is not its own."""

    hint = "leave the block before each `yield`; or let the consumer have a deadline"


class TransactionFailed(ActorError):
    """A transaction over several actors was undone as a whole, whatever its code caught."""


class TransactionTimeout(TransactionFailed, TimeoutError):
    """The block took longer than it may; everything in it was undone. Field: `seconds`."""

    hint = "do slow work before the block: everybody waits for its participants meanwhile"


class EffectInTransaction(ActorError, RuntimeError):
    """Something inside a transaction would leave the host, and could not be undone."""


class OtherRuntime(ActorError, ValueError):
    """An actor can move within its runtime only, and within one host of it; `export` and `import_`
    take it further."""

    hint = "export it there, import it here, delete it there"


class NoReplica(ActorError, ValueError):
    """`durability="replicated"` was asked for, and the runtime has no replica."""

    hint = 'open the runtime with replica="s3://bucket/prefix" or another url'


class SocketClosed(ActorError, ConnectionError):
    """The client of a socket is gone, or its server is. Field: `id`."""

    hint = "self.sockets has those that are open"
    id: str


class NotActive(ActorError, RuntimeError):
    """`sql`, `kv` and the rest exist only on an actor that a runtime started."""

    hint = "do not construct actors; call runtime.get(cls, name)"


class ActorBroken(ActorError):
    """This incarnation of the actor is over; its durable state is as its last step left it."""

    hint = "get the actor again to start it over the same data"


class FacetAborted(ActorBroken):
    """The parent aborted this facet. Field: `reason`."""


class FacetDeleted(ActorBroken):
    """The facet was deleted together with its data."""

    hint = "get the facet again to start it empty"


class ActorMoved(ActorBroken):
    """The actor, or one above it, was renamed, moved, promoted or demoted. Field `to`: the id that
    it has now. Its data went along."""

    hint = "get it where it is now"
    to: str


class ActorRestored(ActorBroken):
    """The actor was put back to `bookmark`. Field `undo`: the bookmark that leads back."""

    hint = "get the actor again to start it over the restored state"
    undo: str
    bookmark: str


class FacetDown(ActorError):
    """The facet failed too often in a short time, and is left alone for a while.

    Fields: `failures`, how many; `since`, when the first was, in seconds since 1970;
    `retry_after`, seconds until the next call starts it for trial. The cause is the last failure.
    """

    hint = "call again after `retry_after` seconds; facets.replace(name, start) tries at once"
    failures: int
    since: float
    retry_after: float


class RuntimeClosed(ActorError, RuntimeError):
    """The runtime is closed, or closing while the call was running."""

    hint = "steps that were committed are kept; open the runtime again"
