"""Two owners on two threads of one process: neither sees anything of the other."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from facets import Actor, Limits, LocalRuntime
from facets.errors import CpuLimit, GuestAborted, GuestError, LogLimit, ProtocolViolation
from facets.isolates import image
from tests.isolates.battery.conftest import tool
from tests.isolates.intact import Host

ROUNDS = 12
LIES = (
    "from isolate import capabilities\ncapabilities._current[0]._calls.out.append('[7]')",
    "os.abort()",
    "while True: pass",
    "print(self.name * 10**6)",
    "raise KeyError('secret of ' + self.name)",
    "return 'secret of ' + self.name",
)
ENDS = (ProtocolViolation, GuestAborted, CpuLimit, LogLimit, KeyError)


class Tenant(Actor):
    """One owner."""

    async def attack(self, n: int) -> Any:
        isolate = self.isolates.load(tool("python", LIES[n]), limits=Limits(cpu=0.05))
        name = f"{self.name}-{n}"
        return await self.facets.replace(name, isolate.actor("Tool")).run()


def tenant(name: str, state: Path, seen: list[Any], start: threading.Barrier) -> None:
    """All attacks of one owner, on a loop of its own."""

    async def main() -> None:
        async with LocalRuntime(state / name) as runtime:
            own = runtime.get(Tenant, name)
            start.wait(30)
            for i in range(ROUNDS):
                attacks = [own.attack((i + n) % len(LIES)) for n in range(3)]
                seen.extend(await asyncio.gather(*attacks, return_exceptions=True))

    asyncio.run(main())


async def test_no_tenant_sees_the_errors_of_another(guest: image.Image, state: Path) -> None:
    host, start = Host(), threading.Barrier(2)
    seen: dict[str, list[Any]] = {"ann": [], "bob": []}
    threads = [
        threading.Thread(
            target=tenant, args=(name, state, found, start), name=f"facets-{name}", daemon=True
        )
        for name, found in seen.items()
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        await asyncio.sleep(0.01)

    for name, other in (("ann", "bob"), ("bob", "ann")):
        assert len(seen[name]) == 3 * ROUNDS
        kinds = {type(one) for one in seen[name] if not isinstance(one, GuestError | str)}
        assert kinds == set(ENDS[:4])
        assert not any(f"secret of {other}" in f"{one!r}{one}" for one in seen[name])
        assert sum(f"secret of {name}" in f"{one!r}{one}" for one in seen[name]) == ROUNDS
    await host.check()
