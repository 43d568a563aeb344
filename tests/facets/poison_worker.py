"""A process with a timer that kills it; it ends by itself once that was given up."""

import asyncio
import json
import os
import signal
import sys

from facets import Actor, Backoff, LocalRuntime

SOON = Backoff(first=0.01, most=0.02, attempts=1)


class Poisoned(Actor):
    async def plan(self, where: str) -> None:
        if not self.kv.get("planned"):
            self.kv["planned"] = True
            if where == "start":
                self.timers.after(0.5, self.sound, retry=SOON, name="poison")
                return
            self.timers.after(0, self.die, retry=SOON, name="poison")
            self.timers.after(0, self.sound, name="sound")

    async def on_start(self) -> None:
        if self.kv.get("planned") and self.name == "start" and self.timers.list():
            os.kill(os.getpid(), signal.SIGKILL)

    async def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async def sound(self) -> None:
        self.kv["sound"] = self.kv.get("sound", 0) + 1

    async def seen(self) -> dict[str, object]:
        dead = [(one.name, one.attempt, one.error) for one in self.timers.dead()]
        left = [one.name for one in self.timers.list()]
        return {"dead": dead, "left": left, "sound": self.kv.get("sound")}


def is_busy(runtime: LocalRuntime) -> bool:
    """Whether a timer is being delivered, or will be."""
    timers, stats = runtime.host.timers, runtime.stats().timers
    return bool(stats.queued or stats.running or timers.agenda.head is not None)


async def live(state: str, where: str) -> None:
    async with LocalRuntime(state) as runtime:
        runtime.register(Poisoned)
        if not runtime.list(Poisoned):
            await runtime.get(Poisoned, where).plan(where)
            if where == "start":
                os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(0)
        while is_busy(runtime):
            await asyncio.sleep(0.001)
        print(json.dumps(await runtime.get(Poisoned, where).seen()))


if __name__ == "__main__":
    asyncio.run(live(sys.argv[1], sys.argv[2]))
