"""The process may die at any operation on the disk while commands run."""

from __future__ import annotations

from facets import Actor
from facets.codemode import Allow, CodeMode, SandboxConnector
from facets.sandbox import Sandbox
from facets.testing import MemoryRuntime, die_everywhere

CODE = """
for word in ("one", "two"):
    await sandbox.run(["sh", "-c", f"echo {word} >> log"])
"""
SANDBOX = Sandbox()


class Coder(Actor):
    async def on_start(self) -> None:
        self.code = CodeMode(self, [SandboxConnector(SANDBOX, self, "/work")], rules=[Allow()])

    async def finish(self) -> tuple[str, str]:
        """Begin, or go on; nobody is asked for anything."""
        if not self.code.executions():
            await self.code.execute(CODE)
        done = await self.code.resume(self.code.executions()[0].id)
        return done.status, self.fs.read_text("/work/log")


async def test_a_command_that_a_crash_cut_off_has_its_effect_once(available: None) -> None:
    async def setup(runtime: MemoryRuntime) -> None:
        runtime.register(Coder)

    async def act(runtime: MemoryRuntime) -> None:
        await runtime.get(Coder, "a").finish()

    async def check(runtime: MemoryRuntime) -> None:
        runtime.register(Coder)
        assert await runtime.get(Coder, "a").finish() == ("completed", "one\ntwo\n")

    assert await die_everywhere(setup, act, check, every=23) > 0
