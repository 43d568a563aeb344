"""gzip with a bound: no piece is larger than 64 KiB, whatever it was made of."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

PIECE = 64 << 10
GZIP = 16 + zlib.MAX_WBITS


class Gunzip:
    """Decompresses a stream of gzip members. Raises zlib.error for anything else."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(GZIP)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pieces that the next data makes, each made when it is asked for."""
        piece = b""
        # A full piece may leave more inside, even when all the data has gone in.
        while data or len(piece) == PIECE:
            self._begun = True
            piece = self._member.decompress(data, PIECE)
            data = self._member.unconsumed_tail
            if piece:
                yield piece
            if self._member.eof:
                piece = b""
                data = self._member.unused_data
                self._member, self._begun = zlib.decompressobj(GZIP), False

    def end(self) -> None:
        """Raise if the data stops in the middle."""
        if self._begun:
            raise zlib.error("the compressed data stops in the middle")


class Identity:
    """Passes everything on."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The data."""
        yield data

    def end(self) -> None:
        """Nothing to check."""
