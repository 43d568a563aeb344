"""Making a class the one that actors of its kind start with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

from actors.ray.router import Router, handle
from actors.ray.shipping import Shipment

PATIENCE = 10.0
"""Seconds that a host may take. One that is stuck, or not there, sees what is deployed when it
comes back, and hears of it if it was only slow."""


async def deploy(router: Router, shipment: Shipment) -> None:
    """See that every host can use the class, make it the deployed one, and tell the hosts.

    `ClassBroken` if one cannot: then nothing has changed."""
    claims = router.claims
    assert claims is not None  # noqa: S101 - an open runtime has set them
    hosts = [handle(router.runtime, host) for host in router.directory.hosts]
    for broken in await _asked([host.try_class.remote(shipment) for host in hosts]):
        if broken is not None:
            raise broken
    await claims.deploy(shipment)
    await _asked([host.take_class.remote(shipment.kind) for host in hosts])


async def _asked(requests: Sequence[Awaitable[Any]]) -> list[Any]:
    """What the hosts say that answer."""
    import ray

    found = []
    for one in [asyncio.ensure_future(_bounded(request)) for request in requests]:
        try:
            found.append(await one)
        except (TimeoutError, ray.exceptions.RayActorError):
            continue
    return found


async def _bounded(request: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(request, PATIENCE)
