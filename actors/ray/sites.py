"""What the nodes of a cluster have of a runtime: a look at the disk of each."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.ray.board import Board
from actors.ray.directory import load
from actors.ray.seats import Seat, announce, newest, noted
from storage.objects import FolderStore

if TYPE_CHECKING:
    from actors.ray.hosting import Plan

PATIENCE = 30.0
"""Seconds in which a node must say what it has; one that does not counts as not there."""
_NAMED = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
"""Ray's options for resources, and what its nodes call them."""


@dataclass(frozen=True)
class Site:
    """One node that may run hosts."""

    node: str
    """Ray's id of it."""
    ip: str
    seats: Mapping[str, Seat]
    """What the directories on its disk, or on one that it shares, say of themselves; by host."""


def alive(resources: Mapping[str, Any]) -> dict[str, str]:
    """Id and address of every node that runs and has, taken or not, what a host asks for."""
    import ray

    every: Any = ray.nodes  # it is not typed
    wanted = {_NAMED[key]: value for key, value in resources.items() if key in _NAMED}
    wanted |= resources.get("resources", {})
    return {
        node["NodeID"]: node["NodeManagerAddress"]
        for node in every()
        if node["Alive"] and all(node["Resources"].get(key, 0) >= wanted[key] for key in wanted)
    }


async def scout(plan: Plan, resources: Mapping[str, Any], *, recall: bool = False) -> list[Site]:
    """Every node on which a host could run, with the hosts that its disk has.

    A node on which a `$NAME` of the root is not set is not one. With `recall`, what the disks keep
    of the board is brought into that of this cluster, which is new.
    """
    nodes = alive(resources)
    asked = {node: _asked(plan, node, resources, recall=recall) for node in nodes}
    told = await asyncio.gather(*asked.values())
    found = zip(nodes.items(), told, strict=True)
    sites = [Site(node, ip, seats) for (node, ip), seats in found if seats is not None]
    if recall:
        await asyncio.to_thread(_miss, plan)
    return sites


async def _asked(
    plan: Plan, node: str, resources: Mapping[str, Any], *, recall: bool
) -> dict[str, Seat] | None:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    env = resources.get("runtime_env")
    if node == ray.get_runtime_context().get_node_id() and not env and "$" not in plan.root:
        return await asyncio.to_thread(look, plan, recall)
    remote: Any = ray.remote(look)
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    options = remote.options(num_cpus=0, scheduling_strategy=there, runtime_env=env, max_retries=0)
    try:
        seats: dict[str, Seat] | None = await asyncio.wait_for(
            options.remote(plan, recall), PATIENCE
        )
    except (TimeoutError, ray.exceptions.RayError):
        return None  # it went away meanwhile
    return seats


def look(plan: Plan, recall: bool) -> dict[str, Seat] | None:
    """What the disk of this node has: for each host the seat that its directory took."""
    root = expanded(plan.root)
    if root is None:
        return None
    if recall and mirror(root).is_dir():
        Board(plan.runtime, FolderStore(mirror(root))).recall()
    found = {path.parent.name: noted(path.parent) for path in root.glob("*/seat.json")}
    return {host: seat for host, seat in found.items() if seat is not None}


def expanded(root: str) -> Path | None:
    """The root on this node; None if the environment lacks a name that is in it."""
    path = os.path.expandvars(root)
    return None if "$" in path else Path(path)


def mirror(root: Path) -> Path:
    """Where a node keeps what its hosts saw on the board."""
    return root / "board"


def _miss(plan: Plan) -> None:
    """Hosts of which no disk that is there knows more than their name have state elsewhere: they
    do not begin anew."""
    store = plan.shared()
    directory = load(store)
    for host in () if directory is None else directory.hosts:
        if newest(store, host).number < 0:
            announce(store, Seat(host, 0, node="unknown", ip="unknown", path="the root"))


def least(nodes: Sequence[str], taken: Mapping[str, int]) -> str:
    """The node with the fewest hosts, the first of equals."""
    return min(nodes, key=lambda node: (taken.get(node, 0), nodes.index(node)))
