"""What is known of actors without waking them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from actors.quotas.allowance import Usage, usage
from storage.sizes import newest, row_counts, sizes, subtree_sizes

if TYPE_CHECKING:
    from actors.node import Node
    from storage.limits import StorageLimits

State = Literal["asleep", "starting", "running", "stopping", "broken"]
"""`broken`: it ended by an error of its own, or of its start, and nobody started it since."""
Names = tuple[str, ...]


@dataclass(frozen=True)
class Below:
    """What an actor and all below it take."""

    actors: int
    """With state."""
    databases: int
    size: int
    """Bytes of all databases."""


@dataclass(frozen=True)
class ActorStat:
    """What is known of one actor without waking it. Counters begin anew with each start."""

    name: str
    id: str
    state: State
    code: str | None
    """The class or isolate that runs; None while it sleeps."""
    failure: BaseException | None
    """What it ended by, if it is broken."""
    calls: int
    """In progress, or waiting to begin."""
    turns: int
    """How often its code was entered: for a call, or when one went on after it had waited."""
    errors: int
    """Methods and tasks that raised."""
    commits: int
    """Since the runtime opened the database first."""
    size: int
    """Bytes of its own database; 0 if it has never written."""
    written: float | None
    """When it last wrote, in seconds since 1970, as far as that is known without opening it: what
    a checkpoint has moved counts as written then."""
    used: float | None
    """When it was last called, in seconds since 1970: now while a call is in progress, and up to a
    quarter of the runtime's `idle` too late otherwise, as calls do not look at the clock. Of one
    that sleeps it is remembered in memory (`actors.uses`), and after the runtime was opened anew it
    is `written`. None if it neither runs nor ever wrote."""
    limits: StorageLimits
    """Of its database."""
    usage: Mapping[str, Usage]
    """What it and all below it use of its quota; empty if it has none."""
    output: tuple[str, ...]
    """The newest lines that isolated code printed."""
    timings: Mapping[str, float]
    """Milliseconds that an isolate took to `mint` and to `load` its code."""
    below: Below | None
    """Sums of the subtree, if they were asked for."""
    rows: Mapping[str, int] | None
    """How many rows each table has, if it was asked for."""

    @property
    def running(self) -> bool:
        """Whether it is awake."""
        return self.state == "running"


@dataclass(frozen=True)
class Place:
    """One actor of a tree."""

    path: Names
    """Names that lead to it from the top; `()` for the top."""
    state: State
    size: int
    """Bytes of its own database; 0 if it has never written."""


def stat(node: Node, *, below: bool = False, rows: bool = False) -> ActorStat:
    """One actor; constant in time unless sums or rows are asked for."""
    activation, database = node.activation, node.database
    body = None if activation is None else activation.body
    return ActorStat(
        name=node.name,
        id=node.id,
        state=state_of(node),
        code=None if activation is None else activation.start.code.label,
        failure=node.failure,
        calls=0 if activation is None else activation.calls,
        turns=0 if activation is None else activation.begun,
        errors=0 if activation is None else activation.errors,
        commits=database.commits,
        size=database.size(),
        written=newest(database),
        used=node.host.uses.last(node),
        limits=database.limits,
        usage=usage(node),
        output=tuple(getattr(body, "output", ())),
        timings=dict(getattr(body, "timings", {})),
        below=_below(node) if below else None,
        rows=row_counts(database) if rows else None,
    )


def tree(node: Node) -> list[Place]:
    """An actor and all below it that have state or run, in the order of their paths."""
    states = {path: state_of(one) for path, one in _awake(node, ())}
    found = dict(subtree_sizes(node.host.store, node.database))
    return [
        Place(path, states.get(path, "asleep"), found.get(path, 0))
        for path in sorted({*states, *found})
    ]


def state_of(node: Node) -> State:
    """What is going on there."""
    if node.activation is not None:
        return "running"
    if node.starting is not None:
        return "starting"
    if node.stopping is not None:
        return "stopping"
    return "asleep" if node.failure is None else "broken"


def _below(node: Node) -> Below:
    store, database = node.host.store, node.database
    size, databases = sizes(store, database)
    uid = database.uid if database.row else None
    return Below(0 if uid is None else store.catalogue.count_below(uid), databases, size)


def _awake(node: Node, path: Names) -> Iterator[tuple[Names, Node]]:
    """Those in memory about which something is to be said, though they may have no state."""
    if state_of(node) != "asleep":
        yield path, node
    for name, child in list(node.children.items()):
        yield from _awake(child, (*path, name))
