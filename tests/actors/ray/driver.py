"""A driver with a load of its own, which a test kills: ADDRESS REPLICA HISTORY."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from facets.testing import History
from tests.actors.ray.load import Load
from tests.actors.ray.nodes import opened


async def main(address: str, replica: str, path: str) -> None:
    """Work until the process ends."""
    import ray

    ray.init(address, namespace="facets", log_to_driver=False)
    async with opened(replica) as runtime:
        load = Load(runtime, History(Path(path)), "driver", who="killed")
        load.start()
        await load.answered()
        print("at work", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
