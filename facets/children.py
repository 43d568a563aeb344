"""Facets: the child actors of one actor."""

from __future__ import annotations

import builtins
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from actors.call import CURRENT
from actors.code import Start, as_start
from actors.diffing import diff_trees
from actors.errors import FacetAborted, FacetDeleted
from actors.moving import move_node, parent_of
from actors.node import Node
from actors.quotas.allowance import hold
from actors.stat import ActorStat, Place, stat, tree
from actors.stub import Stub
from actors.transaction import SECONDS, Block, refuse
from actors.trees import clone_tree, export_tree, import_tree, restore_tree
from facets.errors import FacetRunsOtherCode

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.actor import Actor
    from actors.quotas.quota import Quota
    from storage.diff import Difference

A = TypeVar("A", bound="Actor")


class Facets:
    """`self.facets`: child actors in this process, each with a private database.

    A facet is found by its name among this actor's children. It starts on its first call,
    sleeps when idle, and dies with its parent's incarnation; its data stays until `delete`.
    Neither side can reach the other's database or memory: they share only calls.

    Every method here belongs to the actor's own code and, unless it is `async`, returns at once.
    """

    __slots__ = ("_activation",)

    def __init__(self, activation: Activation) -> None:
        self._activation = activation

    @overload
    def get(self, name: str, start: type[A]) -> A: ...
    @overload
    def get(self, name: str, start: Start | Callable[[], Any | Awaitable[Any]] | Any) -> Any: ...
    def get(self, name: str, start: Any) -> Any:
        """A stub of the facet `name`. Lazy: nothing starts before its first call.

        `start` says what to run if it is not running: an Actor class, an isolate's actor
        class, `Start(...)` with props, or a sync or async callable that returns one of them
        and is called only when needed. While the facet runs different code from what a
        class names, `FacetRunsOtherCode` is raised; a callable opts out of that check.
        """
        node = self._node(name)
        wanted = as_start(start)
        running = node.code
        if running is not None and isinstance(wanted, Start) and not running.same(wanted.code):
            raise FacetRunsOtherCode(
                f"facet {name!r} runs {running.label}, not {wanted.code.label}",
                hint="facets.replace(name, start) restarts it over the same data",
                name=name,
                running=running.label,
                wanted=wanted.code.label,
            )
        if node.activation is None and node.starting is None:
            node.start = wanted
            if node.host.timers.waiting:
                node.host.timers.known(node)
        return Stub(node)

    @overload
    def replace(self, name: str, start: type[A]) -> A: ...
    @overload
    def replace(
        self, name: str, start: Start | Callable[[], Any | Awaitable[Any]] | Any
    ) -> Any: ...
    def replace(self, name: str, start: Any) -> Any:
        """New code over the same data: `get` where exactly this code runs, otherwise the
        running facet is aborted and the next call starts `start` on its database."""
        node = self._node(name)
        wanted = as_start(start)
        running = node.code
        same = isinstance(wanted, Start) and running == wanted.code
        if not same and (node.activation is not None or node.starting is not None):
            node.abort(
                FacetAborted(f"facet {name!r} was replaced", reason="replaced"), keeping=True
            )
        if not same:
            self._forgive(node)
            node.start = wanted
        return Stub(node)

    def abort(self, name: str, reason: str | BaseException = "aborted by its parent") -> None:
        """End the running facet and all below it; their storage stays.

        Calls in progress and stubs of this incarnation fail with `reason` (an exception is
        raised as it is, a text inside `FacetAborted`). Steps already committed are kept, the
        open one is undone. A facet that does not run is left as it is.
        """
        node = self._node(name)
        if isinstance(reason, str):
            reason = FacetAborted(f"facet {name!r} was aborted: {reason}", reason=reason)
        self._forgive(node)
        if node.activation is not None or node.starting is not None or len(node.children):
            node.abort(reason, keeping=True)

    def delete(self, name: str) -> None:
        """Abort the facet and wipe its database and everything below it, in one commit."""
        node = self._node(name)
        call = CURRENT.get()
        if call is not None:
            refuse(call, f"deleting facet {name!r}")
        self._activation.leave()
        self._forgive(node)
        node.abort(FacetDeleted(f"facet {name!r} was deleted"))
        self._activation.wrote(node.database.delete())

    def rename(self, name: str, new_name: str) -> None:
        """Give a facet another name; its data, its past and all below it stay what they are.

        Crash-atomic, and as durable as a write. Calls in progress to it and below end with
        `ActorMoved`, and so do stubs: `get` the facet under its new name. `NoState` if it has never
        written, `NameTaken` if there is a facet of that name already.
        """
        self._move(name, self._own(), "", new_name)

    def move(self, name: str, to: Any, new_name: str | None = None) -> None:
        """Put a facet, with all below it, below another actor of this runtime.

        `to` is a stub of the new parent, in this tree or another one. The promise of `rename`; and
        `BelowItself` if that is the facet or below it, `DepthExceeded`, `OtherRuntime`.

        Its past goes along: to restore it to a bookmark from before the move gives back what it
        held, in the place that it has now. To restore its old parent to one gives that parent a
        copy of it; to restore the new parent to one deletes it from there.
        """
        above = parent_of(to, self._own().host)
        self._move(name, above, "", name if new_name is None else new_name)

    def promote(self, name: str, cls: type[A], new_name: str) -> A:
        """Make a facet, with all below it, an actor of its own: a stub of it.

        It is a `cls` called `new_name` from now on, found by `runtime.get(cls, new_name)`, and
        does not end with this actor any more. The promise of `rename`; `LocalRuntime.demote` is
        the way back.
        """
        host = self._own().host
        host.register(cls)
        self._move(name, None, cls.kind, new_name)
        return cast("A", Stub(host.root(cls, new_name)))

    def _move(self, name: str, above: Node | None, kind: str, new_name: str) -> None:
        node, call = self._node(name), CURRENT.get()
        if call is not None:
            refuse(call, f"moving facet {name!r}")
        self._activation.leave()
        self._activation.wrote(move_node(node, above, kind, new_name))

    def set_quota(self, name: str, quota: Quota | None) -> None:
        """Change what the facet and all below it may use together, from now on.

        What was used counts on; using more than a lower limit already is refused only when more
        is asked for. It holds until the facet is started anew by another `get` or `replace`, which
        say what its quota is: so it is not kept on disk, where it would contradict them unseen. To
        have it outlive this process, keep it as your own state and give it to `get`:

            self.kv["bytes"] = 1 << 20
            self.facets.get("tool", Start(Tool, quota=Quota(bytes=self.kv["bytes"])))

        `LookupError` if it was not given anything to start.
        """
        node = self._node(name)
        if isinstance(node.start, Start):
            node.start = replace(node.start, quota=quota)
        elif node.activation is None:
            raise LookupError(f"facet {name!r} is not running, and nobody got it")
        hold(node, quota)

    def transaction(self, seconds: float = SECONDS) -> AbstractAsyncContextManager[None]:
        """What this actor and the actors it calls write inside the block is kept as one.

        See `actors.transaction.Transaction` for the promise; `seconds` bounds the block.
        """
        return Block(seconds)

    async def clone(self, source: str, target: str, *, at: str | None = None) -> None:
        """Copy facet `source` and all below it as of now over `target`, while they go on.

        With `at`, a bookmark, as they were then: the copy begins there, the source stays.

        Crash-atomic: the facet `target` ends, and is replaced with all below it in one record.
        `NoState` if `source` has never written.
        """
        await clone_tree(self._node(source), self._node(target), at)

    async def restore(self, name: str, bookmark: str) -> str:
        """Put a facet and all below it back to what they were at `bookmark`.

        Its calls in progress end with `ActorRestored`; the bookmark that leads back is returned.
        `BytesQuota` or `DatabasesQuota` changes nothing: what it was is too much for those above.
        """
        return await restore_tree(self._node(name), bookmark)

    def diff(
        self, name: str, other: str | None = None, *, at: str | None = None, to: str | None = None
    ) -> AsyncGenerator[Difference, None]:
        """What is not the same in a facet and all below it, and in another one and all below that.

        As of the bookmarks `at` and `to`, or now; see `LocalRuntime.diff`.
        """
        node = self._node(name)
        return diff_trees(node, node if other is None else self._node(other), at, to)

    async def export(self, name: str, path: str | Path) -> None:
        """Write a facet and all below it as of now into one file (see `storage.archive`)."""
        await export_tree(self._node(name), Path(path))

    async def import_(self, name: str, path: str | Path) -> None:
        """Put what `export` wrote in the place of facet `name`; `BadArchive` changes nothing."""
        await import_tree(self._node(name), Path(path))

    def list(self) -> list[str]:
        """Names of the facets that have state or are running, sorted."""
        above = self._own()
        running = {name for name, node in above.children.items() if node.activation is not None}
        return sorted(running.union(above.database.children()))

    def exists(self, name: str) -> bool:
        """Whether the facet has state or is running."""
        node = self._node(name)
        return node.activation is not None or node.database.exists()

    def stat(self, name: str, *, below: bool = False, rows: bool = False) -> ActorStat:
        """What is known of the facet without waking it; constant in time, however many there are.

        With `below` the sums of it and all below it, some microseconds for each; with `rows` how
        many each of its tables has, which reads them all.
        """
        return stat(self._node(name), below=below, rows=rows)

    def tree(self, name: str) -> builtins.list[Place]:
        """The facet and all below it that have state or run, in the order of their paths; nobody
        is woken. Some microseconds for each."""
        return tree(self._node(name))

    @staticmethod
    def _forgive(node: Node) -> None:
        """Its failures are of no account any more."""
        node.host.breakers.pop(node.id, None)

    def _node(self, name: str) -> Node:
        return self._own().child(name)

    def _own(self) -> Node:
        if self._activation.broken is not None:
            raise self._activation.reason()
        return self._activation.node
