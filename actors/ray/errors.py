"""Errors of actors on a cluster.

ActorError
├── HostLost          the host ended while the call was under way; the call may have run
│   └── DiskAway      no node has the disk of the host; the call did not run
├── DiskForgotten     the directory was given up: the host went on elsewhere
├── NodeThere         what was to be forgotten is there, or unknown (ValueError)
├── OnlyCopy          forgetting the node would lose all that its hosts have (ValueError)
├── NotOwner          the host does not own the actor; the call did not run, and is sent on
├── Superseded        a newer incarnation of the host has taken its place
├── HandoverFailed    a host could not give its actors to another; it goes on with them
├── OtherHost         the two actors live on different hosts (ValueError)
├── ClassUnknown      a host was called for a kind whose class it never got (LookupError)
├── ClassDiffers      a program has another class for a kind than the deployed one (TypeError)
├── ClassBroken       the deployed class cannot be used on a host (RuntimeError)
├── PythonDiffers     driver and host run different minor versions of Python (RuntimeError)
├── DirectoryStale    the directory is not the one that a host's state belongs to, or older
├── DirectoryTaken    the directory was made for other hosts (ValueError)
├── NotUp             nothing says how this state is spread over hosts (LookupError)
├── NoCluster         no Ray cluster answers at the address (ConnectionError)
├── LenderGone        what another process lent is gone with it (ConnectionError)
└── RemoteError       what a call raised cannot be sent; its text can
"""

from __future__ import annotations

from actors.errors import ActorError


class HostLost(ActorError):
    """The host of the actor ended, or could not be reached, while the call was under way.

    The call may have run, in part or whole; what was acknowledged before is kept. Fields: `host`,
    `actor`, `method`.
    """

    hint = "a call with idempotency_key= is repeated and has one effect; or look at what it did"
    host: str
    actor: str
    method: str


class NotOwner(ActorError):
    """The host does not own the actor, by version `version` of the directory; the call did not run.

    You do not get this: routers learn where the actor is, and send the call there.
    """

    version: int


class Superseded(ActorError):
    """A newer incarnation of the host has taken its place; this one ends. Field: `host`."""

    hint = "nothing: callers find the newer one by themselves"


class HandoverFailed(ActorError):
    """A host could not give actors to another one, and goes on with them. Fields: `host`,
    `target`."""

    hint = "ask again when both hosts are well: what has moved stays there"


class DiskAway(HostLost):
    """The state of the host is on the disk of a node that is not there; the call did not run.

    Fields: those of `HostLost`, `node` (Ray's id), `ip`, `path`.
    """

    hint = "bring the node back with its disk, or give it up with runtime.forget(node)"


class DiskForgotten(ActorError):
    """A directory was the state of a host until that went on from another disk. It is left as it
    is. Fields: `host`, `path`."""

    hint = "nothing, or look into it with a LocalRuntime on a copy of it"


class NodeThere(ActorError, ValueError):
    """The node runs, or no host was ever on it: there is nothing to forget. Field: `node`."""

    hint = "runtime.hosts() tells which hosts are lost, and the nodes that had them"


class OnlyCopy(ActorError, ValueError):
    """There is no replica: to forget the node is to lose all state of its hosts.

    Fields: `node`, `hosts`.
    """

    hint = "bring the node back with its disk; or call runtime.forget(node, lose=True)"


class OtherHost(ActorError, ValueError):
    """Something that only one host can do was asked of two. Fields: `actor`, `other`."""

    hint = "clone it, and delete the first one"


class ClassUnknown(ActorError, LookupError):
    """A host was called for a kind whose class it never got. Field: `kind`."""

    hint = "call an actor of that kind through runtime.get(cls, name) once"


class ClassDiffers(ActorError, TypeError):
    """The program has another class for a kind than the one that its actors run; nothing ran.

    Fields: `kind`; `deployed` and `here`, the digests of the two.
    """

    kind: str
    deployed: str
    here: str


class ClassBroken(ActorError, RuntimeError):
    """The class that is deployed for a kind, or was to be, cannot be used on a host: a package is
    missing, or installed in another version. Other kinds go on. Fields: `kind`, `digest`, `host`;
    `why`, what went wrong there.
    """

    hint = "install there what it needs, or await runtime.deploy(cls) with one that works"
    kind: str
    digest: str
    host: str
    why: str


class PythonDiffers(ActorError, RuntimeError):
    """Classes and values cross as pickles, which two minor versions of Python do not share.

    Fields: `here`, `there`.
    """

    hint = "start the driver with the Python of the cluster, or give hosts a runtime_env"


class DirectoryStale(ActorError):
    """The directory is another one than a host's state belongs to, or older than what it has seen.

    The host does not open: it would serve, or remove, what is not its own. Fields: `path` of the
    file that says what it has seen, `seen` and `found`, versions.
    """

    hint = "bring back the store that has the newest directory; remove the file to give that up"


class DirectoryTaken(ActorError, ValueError):
    """The directory names hosts that this runtime does not. Fields: `known`, `wanted`."""

    hint = "open it with as many hosts as it has, and then call runtime.scale()"


class NotUp(ActorError, LookupError):
    """There is no `runtime.json` beside the state. Field: `root`."""

    hint = "run `facets ray up ROOT` first, on this machine, with the options it had before"


class NoCluster(ActorError, ConnectionError):
    """No Ray cluster answers. Field: `address`."""

    hint = "start one with `ray start --head`, or name the one there is with --address"


class LenderGone(ActorError, ConnectionError):
    """A stream or a capability of another process was used, which has ended, or which forgot this
    one: it heard nothing of it for a minute."""

    hint = "ask whoever lent it for another one"


class RemoteError(ActorError):
    """A call raised something that cannot be sent here. Fields: `type`, `text`."""
