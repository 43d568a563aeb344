"""Commands that need a real operating system, over an actor's own files.

Needs `pip install 'facets-runtime[sandbox]'` and Linux with user namespaces; says so where it
cannot run. What a model would be given is one line: `tools = [*SANDBOX.tools(self, "/project")]`.
"""

import asyncio

from facets import Actor, LocalRuntime
from facets.errors import SandboxTimeout, SandboxUnavailable
from facets.sandbox import Sandbox, SandboxLimits

SANDBOX = Sandbox(limits=SandboxLimits(memory=512 << 20, wall=10))
PROGRAM = """
import os, socket
print("the actor's files:", sorted(os.listdir(".")))
print("files of the host:", os.listdir("/home") if os.path.exists("/home") else "none")
try:
    socket.create_connection(("192.0.2.1", 80), 2)
except OSError as error:
    print("network:", error.strerror)
open("report.txt", "w").write("written in the box")
"""


class Builder(Actor):
    """Has a project in its files."""

    async def build(self) -> str:
        """Run a program over the project; what it writes is kept in one commit with the result."""
        self.fs.mkdir("/project", exist_ok=True)
        self.fs.write_text("/project/program.py", PROGRAM)
        done = await SANDBOX.run(self, ["python3", "program.py"], root="/project")
        self.kv["built"] = done.code
        return done.check().text + "afterwards: " + self.fs.read_text("/project/report.txt")

    async def hang(self) -> None:
        """Everything that a command starts ends at its limit."""
        await SANDBOX.run(self, ["sh", "-c", "sleep 1000 & sleep 1000"], seconds=0.5)


async def main() -> None:
    """Build, then run into a limit."""
    async with LocalRuntime("state/") as runtime:
        builder = runtime.get(Builder, "octopus")
        try:
            print(await builder.build())
        except SandboxUnavailable as error:
            print(f"no sandbox on this machine: {error}")
            return
        try:
            await builder.hang()
        except SandboxTimeout as error:
            print(error)


if __name__ == "__main__":
    asyncio.run(main())
