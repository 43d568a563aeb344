"""What the names in a package mean: its package.json, read as Node and bundlers read it.

https://nodejs.org/api/packages.html and esm.html have the algorithm; `module` is a convention of
bundlers, and so are names of files without their endings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, final

CONDITIONS = frozenset({"import", "browser", "default"})
"""Those that hold in an isolate; which is taken, the order in package.json decides."""
ENDINGS = ("", ".js", ".mjs", ".cjs", ".json", "/index.js", "/index.mjs")
DEEPEST = 16
"""Conditions within conditions."""


@final
class Manifest:
    """One package: its files, and what it says about them."""

    __slots__ = ("_exports", "_imports", "files", "name", "said")

    def __init__(self, name: str, said: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        self.name = name
        self.said = said
        self.files = files
        exports = said.get("exports")
        if exports is not None and not _has_paths(exports):
            exports = {".": exports}
        self._exports: Mapping[str, Any] | None = exports
        imports = said.get("imports")
        self._imports: Mapping[str, Any] = imports if isinstance(imports, dict) else {}

    def exported(self, path: str) -> str | None:
        """The file that others import as this path, "." or "./path"; None if there is none."""
        if self._exports is not None:
            return self._of(_matched(self._exports, path))
        if path != ".":
            return self.file(path)
        for given in (self.said.get("module"), self.said.get("main"), "index.js"):
            if isinstance(given, str) and given and (found := self.file(given)):
                return found
        return None

    def internal(self, name: str) -> str | None:
        """The target that the package itself imports as "#name": a file, or another package."""
        target = _matched(self._imports, name)
        if target is not None and target.startswith("./"):
            return self._of(target)
        return target

    def _of(self, target: str | None) -> str | None:
        return self.file(target) if target is not None and target.startswith("./") else None

    def file(self, path: str, folder: str = "") -> str | None:
        """The file at a path relative to a folder, with the ending that was left out."""
        joined = _joined(folder, path)
        if joined is None:
            return None
        found = (joined + ending for ending in ENDINGS)
        return next((one.lstrip("/") for one in found if one.lstrip("/") in self.files), None)


def _has_paths(exports: Any) -> bool:
    return isinstance(exports, dict) and any(key.startswith(".") for key in exports)


def _matched(table: Mapping[str, Any], path: str) -> str | None:
    """The target of the key that is this path, or else of the longest pattern that fits."""
    if path in table and "*" not in path:
        return _target(table[path], "")
    fits = []
    for key in table:
        before, star, after = key.partition("*")
        inside = path[len(before) : len(path) - len(after)]
        if star and path == before + inside + after:
            fits.append((len(before), key, inside))
    return _target(table[max(fits)[1]], max(fits)[2]) if fits else None


def _target(said: Any, inside: str, depth: int = 0) -> str | None:
    """What holds of conditions and alternatives."""
    if isinstance(said, str):
        return said.replace("*", inside)
    if depth < DEEPEST:
        several = said if isinstance(said, list) else []
        if isinstance(said, dict):
            several = [one for key, one in said.items() if key in CONDITIONS]
        for one in several:
            found = _target(one, inside, depth + 1)
            if found is not None:
                return found
    return None


def _joined(folder: str, path: str) -> str | None:
    """The path from the top of the package; None if it leaves it."""
    parts = folder.split("/") if folder else []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


# -- CommonJS --------------------------------------------------------------------------------------

# Each begins with a word, which is found at the speed of memory; what is before it comes after.
_EXPORT = re.compile(
    r"export(?<=[;}\s*/]export)\s*(?:[{*]|(?:default|const|let|var|async|function|class)\b)"
)
_IMPORT = re.compile(r"import(?<=[;}\s*/]import)\s*(?:[\"'{*]|[\w$]+\s*(?:,|from\b))")
_REQUIRE = re.compile(r"require(?<![\w$.]require)\s*\(")
BEFORE = "const module={exports:{}};const exports=module.exports;(function(){"
AFTER = "\n}).call(exports);export default module.exports;"


def is_module(path: str, text: str, types: str) -> bool:
    """Whether a file is an ES module: by its ending, by its package's `type`, or by what it says,
    as it is in packages that were made for bundlers."""
    if path.endswith((".mjs", ".cjs")):
        return path.endswith(".mjs")
    if types == "module":
        return True
    lines = "\n" + text
    return _EXPORT.search(lines) is not None or _IMPORT.search(lines) is not None


def requires(text: str) -> bool:
    """Whether a file of CommonJS needs others, which it names while it runs."""
    return _REQUIRE.search(text) is not None


def wrapped(text: str) -> str:
    """A file of CommonJS as an ES module, its lines where they were."""
    return BEFORE + text + AFTER
