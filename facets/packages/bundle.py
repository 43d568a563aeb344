"""The packages of an isolate as files, read once for all isolates that share them."""

from __future__ import annotations

from importlib.util import decode_source
from typing import final

from facets.isolates.code import Code
from facets.isolates.tree import Tree
from facets.packages import limits, wheel
from facets.packages.errors import BadWheel
from facets.packages.fetching import Fetcher
from facets.packages.kept import KEPT, Kept
from facets.packages.pages import File
from facets.packages.pins import Lock

ROOT = "<packages>/"
"""What tracebacks show before the path of a file."""
OURS = frozenset({"facets", "isolate", "wit_world", "app"})
"""Modules of the runtime inside: a package of that name could never be imported."""


@final
class Bundle:
    """All files of all packages of a lock. Immutable; any number of isolates share one.

    Where two packages have a file of the same path, the first by name has it.
    """

    def __init__(self, lock: Lock, files: dict[str, bytes]) -> None:
        self.lock = lock
        self.tree = Tree(files, ROOT)
        self.size = sum(map(len, files.values()))
        self._code: dict[str, Code] = {}

    def code(self, path: str) -> Code:
        """One module, as code that can be compiled for itself; SyntaxError if it is not text."""
        found = self._code.get(path)
        if found is None:
            name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            try:
                source = decode_source(self.tree.files[path])
            except (UnicodeDecodeError, LookupError) as error:
                raise SyntaxError(f"{path}: {error}") from None
            found = Code({name: source}, name, paths={name: ROOT + path})
            self._code[path] = found
        return found


def load(lock: Lock, fetcher: Fetcher) -> Bundle:
    """Read the wheels of a lock, from the store or else from where they were found.

    Raises HashMismatch, BadWheel, PackagesTooLarge, IndexFailed.
    """
    found = _kept.get(lock)
    if found is None:
        found = Bundle(lock, _files(lock, fetcher))
        _kept.put(found)
    return found


def _files(lock: Lock, fetcher: Fetcher) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    size = 0
    for pin in lock.pins:
        content = fetcher.wheel(File(pin.filename, pin.url, pin.sha256))
        its = wheel.read(content, pin.filename, pin.stripped).files
        size += sum(map(len, its.values()))
        if size > limits.UNPACKED:
            raise wheel.too_large(pin.filename, limits.UNPACKED, "bytes of all packages")
        taken = OURS & {path.partition("/")[0].removesuffix(".py") for path in its}
        if taken:
            reason = f"its module {min(taken)!r} has a name that belongs to the runtime"
            raise BadWheel(f"{pin.filename}: {reason}", filename=pin.filename, reason=reason)
        files = its | files
    return files


_kept: Kept[Bundle] = Kept(KEPT)
