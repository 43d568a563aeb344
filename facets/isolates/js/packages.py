"""What a JavaScript guest may read by name: the modules of its packages.

    ["find", importer, name]   the module that `importer` means, or None; "" is the tool
    ["load", module]           its source

A guest asks when it imports something, so that what it does not use costs it nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from facets.isolates.errors import ProtocolViolation

if TYPE_CHECKING:
    from facets.packages.npm.bundle import NpmBundle

_LENGTHS = {"find": 3, "load": 2}


@final
class PackageFiles:
    """The modules that one isolate can ask for."""

    __slots__ = ("_bundle",)

    tops = ("npm",)
    """Tells the guest that there is something to ask for."""

    def __init__(self, bundle: NpmBundle) -> None:
        self._bundle = bundle

    def serve(self, args: list[Any]) -> object:
        """Answer one question; FileNotFoundError if there is no such module."""
        texts = all(type(one) is str for one in args)
        if not args or not texts or len(args) != _LENGTHS.get(args[0]):
            raise ProtocolViolation(f"a malformed request for a module: {args!r}"[:300])
        if args[0] == "find":
            return self._bundle.find(args[1], args[2])
        return self._bundle.load(args[1])
