"""What a guest may read by name: the files of its own code, and those of its packages.

    ["find", name]      what `import name` finds: [kind, path], or None
    ["load", path]      a module: [source, None] or [None, marshalled code]
    ["read", path, at]  up to `PIECE` bytes of a file from `at`, and its size
    ["list", folder]    [[name, is it a folder] ..]

A guest asks when it imports or opens something, so that what it does not use costs it nothing.
Files of the code come before those of packages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, final

from facets.isolates.errors import ProtocolViolation
from facets.isolates.tree import FOLDER, Tree

if TYPE_CHECKING:
    from facets.isolates.code import Code
    from facets.isolates.codecache import CodeStore
    from facets.packages.bundle import Bundle

PIECE = 1 << 20
_LENGTHS = {"find": 2, "load": 2, "read": 3, "list": 2}


class Answers(Protocol):
    """What answers the questions of one guest about files."""

    @property
    def tops(self) -> Sequence[str]:
        """First parts of the names of all modules that it may ask for."""

    def serve(self, args: list[Any]) -> object:
        """Answer one question; FileNotFoundError if there is no such file."""


@final
class Files:
    """The files that one isolate can ask for."""

    __slots__ = ("_bundle", "_cache", "_own", "_trees")

    def __init__(self, code: Code, bundle: Bundle | None, cache: CodeStore) -> None:
        self._own = code.tree
        self._bundle = bundle
        self._cache = cache
        found = (self._own, bundle.tree if bundle else None)
        self._trees: list[Tree] = [tree for tree in found if tree is not None]

    @property
    def tops(self) -> list[str]:
        """First parts of the names of all modules."""
        return sorted({top for tree in self._trees for top in tree.tops})

    def serve(self, args: list[Any]) -> object:
        """Answer one question; FileNotFoundError if there is no such file."""
        if not _is_question(args):
            raise ProtocolViolation(f"a malformed request for a file: {args!r}"[:300])
        what, name = args[:2]
        if what == "find":
            return self._find(name)
        if what == "load":
            return self._load(name)
        if what == "list":
            return self._list(name)
        content, at = self._content(name), args[2]
        return [content[at : at + PIECE], len(content)]

    def _find(self, name: str) -> object:
        places = [place for tree in self._trees if (place := tree.find(name))]
        modules = [place for place in places if place.kind != FOLDER]
        return list((modules or places)[0]) if places else None

    def _load(self, path: str) -> object:
        content = self._content(path)
        if self._bundle is None or (self._own is not None and path in self._own.files):
            return [content.decode("utf-8", "surrogatepass"), None]
        code = self._bundle.code(path)
        compiled = self._cache.get(code)
        if compiled is None:
            self._cache.expect(code)  # a package is there to be loaded by others too
        elif code.main in compiled:
            return [None, compiled[code.main].encode("latin-1")]
        return [code.modules[code.main], None]

    def _list(self, folder: str) -> object:
        found: dict[str, bool] = {}
        for tree in reversed(self._trees):
            found |= tree.entries(folder) or {}
        if not found and folder:
            raise FileNotFoundError(f"no folder {folder!r} in this isolate")
        return [[name, is_folder] for name, is_folder in found.items()]

    def _content(self, path: str) -> bytes:
        for tree in self._trees:
            if path in tree.files:
                return tree.files[path]
        raise FileNotFoundError(f"no file {path!r} in this isolate")


def _is_question(args: list[Any]) -> bool:
    if not args or type(args[0]) is not str or len(args) != _LENGTHS.get(args[0]):
        return False
    at = args[2] if args[0] == "read" else 0
    return type(args[1]) is str and type(at) is int and at >= 0
