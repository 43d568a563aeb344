"""The hosts of a runtime: started where they belong, found, greeted and ended."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from actors.ray.directory import Directory
from actors.ray.errors import PythonDiffers
from actors.ray.hosting import Greeting, Hosting, Plan
from actors.ray.link import PULSE, SILENCE
from actors.ray.router import NAMESPACE, actor_name, find

CONCURRENT = 100_000
"""Requests that a host serves at once; every process that calls keeps at most two."""


class Fleet:
    """The processes that share the actors of one runtime, each a detached Ray actor."""

    def __init__(self, plan: Plan, hosts: Sequence[str], resources: Mapping[str, Any]) -> None:
        self.hosts = list(hosts)
        self._plan = plan
        self._resources = {"num_cpus": 0, **resources}

    async def up(self, directory: Directory) -> None:
        """Start the hosts that do not run, and hear of each; `PythonDiffers` from one of another
        version."""
        _check_python(await asyncio.gather(*[self.start(host, directory) for host in self.hosts]))

    async def start(self, host: str, directory: Directory) -> Greeting:
        """Start a host, if it does not run; what it says of itself."""
        import ray

        remote: Any = ray.remote(Hosting)
        started = remote.options(
            name=actor_name(self._plan.runtime, host),
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_concurrency=CONCURRENT,
            scheduling_strategy="SPREAD",
            **self._resources,
        ).remote(self._plan, host, directory)
        return await _greeted(started)

    async def down(self) -> None:
        """End the hosts that run; what they hold stays. One that is stuck is killed."""
        import ray

        running = [find(self._plan.runtime, host) for host in self.hosts]
        running = [one for one in running if one is not None]
        await asyncio.gather(*[_closed(one) for one in running])
        for one in running:
            ray.kill(one)


async def _closed(host: Any) -> None:
    import ray

    closing = asyncio.ensure_future(host.close.remote())
    try:
        while not (await asyncio.wait([closing], timeout=SILENCE))[0]:
            await asyncio.wait_for(host.pulse.remote(), PULSE)
        await closing
    except (TimeoutError, ray.exceptions.RayActorError):  # it is stuck, or dead already
        closing.cancel()


async def _greeted(started: Any) -> Greeting:
    import ray

    while True:
        try:
            greeting: Greeting = await started.greet.remote()
        except ray.exceptions.ActorUnavailableError:  # Ray is about to start it again
            await asyncio.sleep(0.05)
        else:
            return greeting


def _check_python(greetings: Sequence[Greeting]) -> None:
    here = sys.version_info[:2]
    for greeting in greetings:
        if greeting.python != here:
            raise PythonDiffers(
                f"this driver runs Python {here[0]}.{here[1]}, a host "
                f"{greeting.python[0]}.{greeting.python[1]}",
                here=here,
                there=greeting.python,
            )
