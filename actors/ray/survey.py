"""What is known of the hosts of a runtime, from outside, without starting any."""

from __future__ import annotations

from dataclasses import dataclass

from actors.ray.directory import load
from actors.ray.health import PATIENCE, HostInfo, look
from actors.ray.hosting import Plan
from actors.ray.router import find
from actors.readings import Readings


@dataclass(frozen=True)
class Survey:
    """A whole runtime."""

    runtime: str
    version: int
    """Of the directory; 0 if there is none yet."""
    hosts: tuple[HostInfo, ...]
    readings: dict[str, Readings]
    """What the meters of those show that are up, by name."""


def survey(plan: Plan) -> Survey:
    """Read the directory and ask every host in it. Blocks, for some seconds at most."""
    store = plan.shared()
    directory = load(store)
    if directory is None:
        return Survey(plan.runtime, 0, (), {})
    hosts = tuple(look(plan.runtime, directory, store))
    shown = {one.name: _ask(plan, one.name) for one in hosts if one.state == "up"}
    readings = {name: one for name, one in shown.items() if one is not None}
    return Survey(plan.runtime, directory.version, hosts, readings)


def _ask(plan: Plan, host: str) -> Readings | None:
    """None if it ended meanwhile."""
    import ray

    found = find(plan.runtime, host)
    if found is None:
        return None
    try:
        shown: Readings = ray.get(found.readings.remote(), timeout=PATIENCE)
    except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
        return None
    return shown
