"""A server at stdin and stdout; what it is given is where its state lies."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import facets
import facets.mcp


class Shelf(facets.Actor):
    migrations = ["create table books(title text primary key)"]

    async def add(self, title: str) -> int:
        """Put a book on the shelf."""
        print("a word on stdout breaks nothing")
        self.sql("insert into books values (?)", title)
        return int(self.sql("select count(*) from books").value())

    async def die(self) -> None:
        """Break the process, whatever it is doing."""
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    runtime = facets.LocalRuntime(sys.argv[1])
    asyncio.run(facets.mcp.stdio(facets.mcp.server(runtime, {"shelf": (Shelf, "one")})))
