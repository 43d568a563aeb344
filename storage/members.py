"""The members of a tar, found once and read by name.

`tarfile` looks for a name by walking the whole archive, so that reading all of them one by one
takes time in the square of their number.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

PIECE = 1 << 20


class Members:
    """A tar that is open for reading: `with Members(path) as members:`. Not compressed.

    Errors are tarfile's, OSError and EOFError; `KeyError` for a name that is not there, or is no
    plain file. Where a name is there twice, the later one counts. Memory holds the names.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO
        self._places: dict[str, tuple[int, int]] = {}
        """Where the bytes of each begin, and how many there are."""

    def __enter__(self) -> Members:
        with tarfile.open(self._path, "r:") as tar:
            while (one := tar.next()) is not None:
                if one.isreg() and not one.issparse():
                    self._places[one.name] = one.offset_data, one.size
                else:
                    self._places.pop(one.name, None)
                tar.members.clear()  # type: ignore[attr-defined] # it would keep 1 KB of each
        self._file = self._path.open("rb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def size(self, name: str) -> int:
        """Bytes of a member."""
        return self._places[name][1]

    def pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of a member, at most `PIECE` at a time; EOFError if the file ends before."""
        at, left = self._places[name]
        self._file.seek(at)
        while left:
            piece = self._file.read(min(left, PIECE))
            if not piece:
                raise EOFError(f"{name} is cut off")
            left -= len(piece)
            yield piece
