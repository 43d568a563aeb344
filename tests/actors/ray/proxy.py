"""The way from one node to the object store, which a test can cut, slow down or swallow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
Mode = Literal["pass", "refuse", "swallow", "slow", "lose answers"]
LATE = 0.25
"""Seconds by which each piece is late when the way is slow."""


class Proxy:
    """A TCP proxy on the loopback, with a loop and a thread of its own. Thread-safe."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 80)
        self._mode: Mode = "pass"
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._on_loop(self._serve())
        self.url = "http://{}:{}".format(*self._server.sockets[0].getsockname())

    def set(self, mode: Mode) -> None:
        """Behave so from now on. Connections that are open are cut, except to be swallowed."""

        async def change() -> None:
            self._mode = mode
            if mode != "swallow":
                for writer in self._writers:
                    writer.transport.abort()

        self._on_loop(change())

    def close(self) -> None:
        """Cut all and end."""
        self.set("refuse")

        async def end() -> None:
            self._server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._on_loop(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _serve(self) -> asyncio.Server:
        return await asyncio.start_server(self._connected, "127.0.0.1")

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode == "refuse":
            writer.transport.abort()
            return
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        both = {writer, there_writer}
        self._writers |= both
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, there_writer, "there"))
                group.create_task(self._pass(there_reader, writer, "back"))
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if self._mode == "slow":
                    await asyncio.sleep(LATE)
                elif self._mode == "swallow" or (self._mode, way) == ("lose answers", "back"):
                    continue
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
