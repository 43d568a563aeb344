"""What the names of an isolate's modules say: which are Python, which are files, and where.

    "tool"  "shop.cart"                    Python, by dotted name
    "shop/cart.py"  "shop/__init__.py"     Python, by path
    "shop/prices.json"  "prompt.txt"       files, of text or bytes

A name is a path if it has a slash, if it ends in one of `EXTENSIONS`, or if its content is bytes.
Code inside reads files with `importlib.resources`, or imports them: a file that shares its name
with no other file and no module can be imported by that name, and has its content as `value`:
parsed if it ends in .json, text if in another of `EXTENSIONS`, else bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from facets.isolates.errors import BadModules, ModulesTooLarge
from facets.isolates.tree import TEXTS

MOST = 64 << 20
"""Bytes of all modules and files of one isolate. What it loads of them must fit into its memory."""
LONGEST_NAME = 1024
EXTENSIONS = ("py", "json", *TEXTS)
"""What makes a name a path although it has no slash."""


class Sorted(NamedTuple):
    """Python modules by dotted name, the paths of packages, and files by path."""

    modules: dict[str, str]
    paths: dict[str, str]
    files: dict[str, bytes]


def sort(given: Mapping[str, str | bytes]) -> Sorted:
    """Tell modules from files. Raises BadModules, or ModulesTooLarge over `MOST` bytes."""
    found = Sorted({}, {}, {})
    size = 0
    for name, content in given.items():
        size += _put(name, content, found)
        if size > MOST:
            raise too_large()
    for name in found.modules:
        package = name.rpartition(".")[0]
        if package in found.modules:
            found.paths[package] = package.replace(".", "/") + "/__init__.py"
    _check_places(found)
    return found


def _put(name: object, content: object, found: Sorted) -> int:
    """Check one entry and put it where it belongs; its size."""
    if not isinstance(name, str) or not name or len(name) > LONGEST_NAME:
        raise _bad(name, "is not the name of a module; write 'tool' or 'package/data.json'")
    if not isinstance(content, str | bytes):
        raise TypeError(f"the content of {name!r} is {type(content).__name__}, not str or bytes")
    if _is_path(name, content):
        path = _path(name)
        if not path.endswith(".py"):
            return _add_file(path, content, found)
        name, package = _dotted(path)
        if package:
            found.paths[name] = path
    return _add_module(name, content, found)


def _is_path(name: str, content: str | bytes) -> bool:
    stem, dot, extension = name.rpartition(".")
    if "/" in name or (dot and stem and extension in EXTENSIONS):
        return True
    return isinstance(content, bytes) and bool(dot)


def _path(name: str) -> str:
    path = name.removeprefix("./")
    parts = path.split("/")
    plain = all(part not in ("", ".", "..") for part in parts) and path.isprintable()
    if not plain or "\\" in path or not path.isascii():
        raise _bad(name, "is not a path below the main module; write 'package/data.json'")
    return path


def _dotted(path: str) -> tuple[str, bool]:
    """The module's name, and whether it is a package."""
    name = path.removesuffix(".py").replace("/", ".")
    return (name.removesuffix(".__init__"), True) if name.endswith(".__init__") else (name, False)


def _add_module(name: str, content: str | bytes, found: Sorted) -> int:
    if not all(part.isidentifier() for part in name.split(".")):
        raise _bad(name, "is not the name of a module; write 'tool' or 'package.tool'")
    if isinstance(content, bytes):
        raise _bad(name, "is a Python module, and its source is bytes, not str")
    if name in found.modules:
        raise _bad(name, "is given twice")
    found.modules[name] = content
    return len(content)


def _add_file(path: str, content: str | bytes, found: Sorted) -> int:
    if path in found.files:
        raise _bad(path, "is given twice")
    try:
        found.files[path] = content if isinstance(content, bytes) else content.encode()
    except UnicodeEncodeError:
        raise _bad(path, "is text that UTF-8 cannot hold; pass bytes") from None
    return len(found.files[path])


def _check_places(found: Sorted) -> None:
    """No file where a folder is."""
    taken = {path.rpartition("/")[0] for path in found.files}
    for path in found.files:
        if path in taken:
            raise _bad(path, "is a file, and a folder of other files")


def _bad(name: object, what: str) -> BadModules:
    shown = repr(name)
    return BadModules(f"{shown[:200]} {what}", name=shown[:200])


def too_large() -> ModulesTooLarge:
    """The error for modules over `MOST` bytes."""
    return ModulesTooLarge(
        f"the modules have more than {MOST} bytes",
        hint="hand large data over as an argument, in parts, or keep it in self.fs",
        limit=MOST,
    )
