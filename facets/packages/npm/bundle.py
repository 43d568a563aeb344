"""The packages of a JavaScript isolate as modules, read once for all isolates that share them."""

from __future__ import annotations

import posixpath
from typing import final

from facets.packages import limits
from facets.packages.errors import BadTarball
from facets.packages.kept import KEPT, Kept
from facets.packages.npm import tarball
from facets.packages.npm.fetching import Fetcher
from facets.packages.npm.manifest import Manifest, is_module, requires, wrapped
from facets.packages.pins import Lock
from facets.packages.wheel import too_large

ROOT = "npm:"
"""What the names of their modules begin with; a tool's own modules cannot be named so."""


@final
class NpmBundle:
    """All modules of all packages of a lock. Immutable; any number of isolates share one."""

    def __init__(self, lock: Lock, packages: dict[str, Manifest]) -> None:
        self.lock = lock
        self._packages = packages
        # All at once, on the thread that reads them: on a loop, a large file would hold it up.
        self._common = {name: _common(one) for name, one in packages.items()}
        self.size = sum(len(text) for one in packages.values() for text in one.files.values())

    def find(self, importer: str, wanted: str) -> str | None:
        """The name of the module that `importer` means by this, "" being the tool; None if there
        is none."""
        own, path = self._split(importer)
        if wanted.startswith(("./", "../")) or wanted in (".", ".."):
            found = own.file(wanted, posixpath.dirname(path)) if own else None
            return _name(own, found)
        if wanted.startswith("#"):
            target = own.internal(wanted) if own else None
            if own is None or target is None or target in own.files:
                return _name(own, target)
            wanted = target
        name, inside = package(wanted)
        other = self._packages.get(name)
        return _name(other, other.exported(inside)) if other else None

    def load(self, name: str) -> str:
        """The source of a module, or the text of a .json file; FileNotFoundError if it is neither,
        ValueError if it is of CommonJS and requires others."""
        own, path = self._split(name)
        if own is None or path not in own.files:
            raise FileNotFoundError(f"no module {name[:300]!r} in the packages of this isolate")
        text = own.files[path].decode("utf-8-sig", "replace")
        requiring = self._common[own.name].get(path)
        if requiring is None:
            return text
        if requiring:
            raise ValueError(f"{path} is CommonJS, and requires other files while it runs")
        return wrapped(text)

    def _split(self, name: str) -> tuple[Manifest | None, str]:
        """The package of a module, and its path in there."""
        owner, inside = package(name.removeprefix(ROOT)) if name.startswith(ROOT) else ("", "")
        return self._packages.get(owner), inside.removeprefix("./")


def _common(of: Manifest) -> dict[str, bool]:
    """The files of CommonJS, and whether they require others."""
    found = {}
    for path, content in of.files.items():
        if not path.endswith(".json"):
            text = content.decode("utf-8-sig", "replace")
            if not is_module(path, text, _types(of, path)):
                found[path] = requires(text)
    return found


def _types(of: Manifest, path: str) -> str:
    """The `type` that the package.json nearest to a file says."""
    folder = posixpath.dirname(path)
    while folder:
        content = of.files.get(f"{folder}/package.json")
        if content is not None:
            try:
                return str(tarball.manifest({"package.json": content}, of.name).get("type", ""))
            except BadTarball:  # packages have such files to test others with
                return ""
        folder = posixpath.dirname(folder)
    return str(of.said.get("type", ""))


def package(specifier: str) -> tuple[str, str]:
    """The package that an import names, and what of it: "." or "./path"."""
    parts = specifier.split("/")
    count = 2 if specifier.startswith("@") else 1
    return "/".join(parts[:count]), "/".join([".", *parts[count:]])


def load(lock: Lock, fetcher: Fetcher) -> NpmBundle:
    """Read the tarballs of a lock, from the store or else from where they were found.

    Raises HashMismatch, BadTarball, PackagesTooLarge, IndexFailed.
    """
    found = _kept.get(lock)
    if found is None:
        found = _read(lock, fetcher)
        _kept.put(found)
    return found


def _read(lock: Lock, fetcher: Fetcher) -> NpmBundle:
    packages: dict[str, Manifest] = {}
    size = 0
    for pin in lock.pins:
        content = fetcher.tarball(pin.url, pin.integrity)
        files = tarball.read(content, pin.filename, pin.name, pin.version)
        size += sum(map(len, files.values()))
        if size > limits.UNPACKED:
            raise too_large(pin.filename, limits.UNPACKED, "bytes of all packages")
        said = tarball.manifest(files, pin.filename)
        packages[pin.name] = Manifest(pin.name, said, files)
    return NpmBundle(lock, packages)


def _name(of: Manifest | None, path: str | None) -> str | None:
    return f"{ROOT}{of.name}/{path}" if of is not None and path is not None else None


_kept: Kept[NpmBundle] = Kept(KEPT)
