"""What is known of the hosts of a runtime, from outside, without starting any."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

from actors.ray.directory import Directory, load
from actors.ray.hosting import Plan
from actors.ray.router import handle
from actors.readings import Readings

PATIENCE = 5.0
"""Seconds in which a host must answer."""


@dataclass(frozen=True)
class Surveyed:
    """One host of the directory."""

    name: str
    state: Literal["running", "absent", "silent"]
    """`absent`: Ray runs no such process; `silent`: it runs one that does not answer, because it
    is about to start, hangs, or its node cannot be reached."""
    buckets: int
    """Of the 4,096, how many are its own."""
    readings: Readings | None
    """What its meters show, if it is running."""


@dataclass(frozen=True)
class Survey:
    """A whole runtime."""

    runtime: str
    version: int
    """Of the directory; 0 if there is none yet."""
    hosts: tuple[Surveyed, ...]


async def survey(plan: Plan) -> Survey:
    """Read the directory and ask every host in it, all at once."""
    directory = await asyncio.to_thread(load, plan.shared())
    if directory is None:
        return Survey(plan.runtime, 0, ())
    asked = [_ask(plan, directory, index) for index in range(len(directory.hosts))]
    return Survey(plan.runtime, directory.version, tuple(await asyncio.gather(*asked)))


async def _ask(plan: Plan, directory: Directory, index: int) -> Surveyed:
    name, buckets = directory.hosts[index], directory.owners.count(index)
    try:
        asked: Any = handle(plan.runtime, name).readings.remote()
    except ValueError:
        return Surveyed(name, "absent", buckets, None)
    try:
        shown = await asyncio.wait_for(asked, PATIENCE)
    except Exception as error:
        return Surveyed(name, _state(error), buckets, None)
    return Surveyed(name, "running", buckets, shown)


def _state(error: Exception) -> Literal["absent", "silent"]:
    """Why a host gave no answer; whatever else went wrong is raised."""
    from ray.exceptions import ActorDiedError, ActorUnavailableError

    if isinstance(error, ActorDiedError):
        return "absent"
    if isinstance(error, TimeoutError | ActorUnavailableError):
        return "silent"
    raise error
