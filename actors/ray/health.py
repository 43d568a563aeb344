"""What each host of a runtime is and does at a moment."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from actors.ray.directory import Directory
from actors.ray.router import find
from actors.ray.seats import Seat, newest

if TYPE_CHECKING:
    from storage.objects.store import ObjectStore

HostState = Literal["up", "starting", "stuck", "lost"]

PATIENCE = 3.0
"""Seconds in which a host must say how it is, or it counts as stuck."""

_STATES: dict[str, HostState] = {"ALIVE": "stuck", "DEAD": "lost"}
"""What a host is that did not answer, by what Ray thinks of it; otherwise it is starting."""


@dataclass(frozen=True)
class HostInfo:
    """A moment of one host."""

    name: str
    state: HostState
    """`up`: it answers. `starting`: Ray starts it, or starts it again. `stuck`: its process is
    there and does not answer. `lost`: it does not run, and nothing starts it by itself."""
    node: str = ""
    """Ray's id of the node it runs on, or did last; empty if that is not known."""
    ip: str = ""
    """The address of that node."""
    pid: int = 0
    """Its process there; 0 if that is not known."""
    since: float = 0.0
    """When this process began to serve, in seconds since 1970; 0 if it does not."""
    buckets: int = 0
    """How many of the 4,096 buckets of actors it owns."""
    awake: int = 0
    """Actors that are awake on it, facets included."""


@dataclass(frozen=True)
class Presence:
    """What a host that answers says of itself."""

    node: str
    ip: str
    pid: int
    since: float


def presence() -> Presence:
    """Of this process, which begins to serve."""
    import ray

    util: Any = ray.util  # it is not typed
    node = ray.get_runtime_context().get_node_id()
    return Presence(node, util.get_node_ip_address(), os.getpid(), time.time())


def look(runtime: str, directory: Directory, store: ObjectStore) -> list[HostInfo]:
    """Every host of a directory. Asks all at once, and waits at most `PATIENCE` seconds. Where
    those were that do not run is told by their seats."""
    owned = Counter(directory.hosts[index] for index in directory.owners)
    asked = {host: _ask(runtime, host) for host in directory.hosts}
    _wait([one[1] for one in asked.values() if one is not None])
    found = [_info(host, owned[host], one) for host, one in asked.items()]
    return [_seated(one, newest(store, one.name)) if one.state == "lost" else one for one in found]


def _seated(lost: HostInfo, seat: Seat) -> HostInfo:
    return replace(lost, node=seat.node, ip=seat.ip)


def _ask(runtime: str, host: str) -> tuple[Any, Any] | None:
    """Its handle and what it will say; None if Ray knows nobody of that name."""
    found = find(runtime, host)
    return None if found is None else (found, found.describe.remote())


def _wait(asked: Sequence[Any]) -> None:
    import ray

    if asked:
        ray.wait(list(asked), num_returns=len(asked), timeout=PATIENCE)


def _info(host: str, buckets: int, asked: tuple[Any, Any] | None) -> HostInfo:
    import ray

    if asked is None:
        return HostInfo(host, "lost", buckets=buckets)
    found, answer = asked
    try:
        said, awake = ray.get(answer, timeout=0)
    except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
        return _silent(host, buckets, found)
    return HostInfo(host, "up", said.node, said.ip, said.pid, said.since, buckets, awake)


def _silent(host: str, buckets: int, found: Any) -> HostInfo:
    """A host that did not answer, as Ray's own table has it."""
    from ray._private.state import actors  # the public way needs Ray's dashboard

    known: dict[str, Any] = actors(actor_id=found._actor_id.hex())
    state = _STATES.get(known.get("State", "DEAD"), "starting")
    address = known.get("Address", {})
    return HostInfo(
        host,
        state,
        address.get("NodeID", "") if state == "stuck" else "",
        address.get("IPAddress", "") if state == "stuck" else "",
        known.get("Pid", 0) if state == "stuck" else 0,
        buckets=buckets,
    )
