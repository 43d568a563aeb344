"""How a host that cannot serve ends: Ray starts the next, perhaps on another node."""

from __future__ import annotations

import asyncio
import logging
import os

from storage.errors import FacetsError, ObjectStoreFailed
from storage.objects.store import ObjectStore, SupportsUrgent

REACH = 5.0
"""Seconds in which the store must answer a host that starts. Once open a host is more patient."""
PARTING = 0.5
"""Seconds that a host which cannot start has to say why."""
_log = logging.getLogger("facets.host")


def end_process(failure: FacetsError) -> None:
    """This host can acknowledge nothing more: end the process, and Ray starts the next."""
    _log.critical("the host ends: %s", failure)
    os._exit(1)


async def reach(store: ObjectStore) -> None:
    """Ask the store for something. `ObjectStoreFailed` if it does not answer, and then the process
    ends soon: it may be this node that is cut off."""
    if not isinstance(store, SupportsUrgent):
        return
    try:
        await asyncio.to_thread(store.urgent(REACH).list, "directory/")
    except ObjectStoreFailed as error:
        asyncio.get_running_loop().call_later(PARTING, end_process, error)
        raise
