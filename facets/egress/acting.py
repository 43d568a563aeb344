"""An exit for what acts for an actor outside of an isolate: a browser, commands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facets.actor import Actor
    from facets.egress.egress import Egress, Exit


def exit_of(egress: Egress, actor: Actor | None, label: str) -> Exit:
    """A way out named after the actor, through which nothing leaves before all that it did until
    then is durable."""
    if actor is None:
        return egress.exit(label)
    home = actor._active()

    async def durable() -> None:
        await asyncio.sleep(0)  # in a turn of its own: a sync that fails ends every actor
        await home.node.host.gate.passed(home.dependency, home.remote)

    return egress.exit(f"{home.id}: {label}", durable)
