"""Contents that are too large to hold at once, in and out, piece by piece.

A stream waits between its pieces, so it takes several steps. What comes in goes to a detached
node, which no path reaches; it is put in place when the source has ended. A stream that
breaks leaves the old file as it was. Its detached node goes at once if the error was handled,
and with the next stream, or when room is short, if its step was rolled back or the process
died.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING

from storage.files.chunks import OBJECT, Buffer, Chunks
from storage.files.contents import FILE_MODE, Contents
from storage.files.nodes import Place
from storage.files.paths import AnyPath
from storage.files.tables import DETACHED

if TYPE_CHECKING:
    from storage.files.files import Files


async def read(
    contents: Contents, chunks: Chunks, place: Place, offset: int, size: int | None
) -> AsyncIterator[bytes]:
    """Pieces of at most 1 MiB; objects are fetched on a thread."""
    inode = place.file().inode
    end = contents.node(inode, place.path).size if size is None else offset + size
    while offset < (end := min(end, contents.node(inode, place.path).size)):
        extent = contents.extents.next(inode, offset)
        if extent is not None and extent.start <= offset:
            stop = min(extent.end, end)
            if extent.is_object:
                digest = chunks.digest(extent.chunk)
                data = await asyncio.to_thread(chunks.get, digest)
            else:
                data = chunks.load(extent.chunk, is_object=False)
            yield data[offset - extent.start : stop - extent.start]
        else:
            hole = end if extent is None else min(extent.start, end)
            stop = min(hole, offset + OBJECT)
            yield bytes(stop - offset)
        offset = stop


class Incoming:
    """A file that is being written by a stream."""

    __slots__ = ("_buffer", "_chunks", "_contents", "_files", "_inode", "_path", "size")

    def __init__(self, files: Files, contents: Contents, chunks: Chunks, path: AnyPath) -> None:
        self._files = files
        self._contents = contents
        self._chunks = chunks
        place = contents.tree.resolve(path)
        place.not_directory()
        self._path = place.path
        self._buffer = bytearray()
        self.size = 0
        with contents.tables.change():
            contents.tree.sweep()
            contents.tree.room(self._path, entries=1)
            self._inode = contents.tree.add(DETACHED, "", "file", FILE_MODE).inode
        contents.tree.streams.add(self._inode)

    async def fill(self, source: AsyncIterable[Buffer]) -> None:
        """Take all that the source gives; at most one piece and 1 MiB are in memory."""
        async for piece in source:
            self._buffer += piece
            while len(self._buffer) >= OBJECT:
                await self._write(bytes(self._buffer[:OBJECT]))
                del self._buffer[:OBJECT]
        await self._write(bytes(self._buffer))

    async def _write(self, data: bytes) -> None:
        contents, end = self._contents, self.size + len(data)
        if len(data) == OBJECT and self._chunks.spills:
            contents.tree.room(self._path, size=end, grow=len(data))
            digest = await asyncio.to_thread(self._chunks.put, data)
            contents.node(self._inode, self._path)
            with contents.tables.change():
                contents.tree.room(self._path, size=end, grow=len(data))
                contents.extents.append_object(self._inode, self.size, len(data), digest)
                contents.tree.resize(self._inode, end)
        else:
            contents.write(self._inode, self._path, data, self.size)
        self.size = end

    def land(self) -> None:
        """Put the file in place of what is under the path now."""
        tree = self._contents.tree
        place = tree.resolve(self._path)
        place.not_directory()
        node = self._contents.node(self._inode, self._path)
        with self._contents.tables.change():
            if place.node is not None:
                tree.chmod(node.inode, place.node.mode)
                tree.remove(place.node)
            tree.move(node, place.parent.inode, place.name)

    def drop(self) -> None:
        """Give up: nothing of it stays."""
        node = self._contents.tree.get(self._inode)
        if node is not None:
            with self._contents.tables.change():
                self._contents.tree.remove(node)

    def close(self) -> None:
        """No longer running: what is left of it may be swept."""
        self._contents.tree.streams.discard(self._inode)
