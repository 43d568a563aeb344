"""Tarballs made for a test, and a registry on loopback that serves them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from tests.packages.kit import Server

Content = str | bytes


def entry(name: str, content: bytes = b"", **said: Any) -> tuple[tarfile.TarInfo, bytes]:
    """One entry, with fields as they should not be."""
    made = tarfile.TarInfo(name)
    made.size = len(content)
    for field, value in said.items():
        setattr(made, field, value)
    return made, content


def packed(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), 1, mtime=0)


def tarball(
    name: str,
    version: str = "1.0.0",
    files: Mapping[str, Content] | None = None,
    *more: tuple[tarfile.TarInfo, bytes],
    **manifest: Any,
) -> bytes:
    """A package as npm packs it; `manifest` is what else package.json says."""
    said = {"name": name, "version": version} | manifest
    given = {"package.json": json.dumps(said)} | dict(files or {})
    made = [
        entry(f"package/{path}", text.encode() if isinstance(text, str) else text)
        for path, text in given.items()
    ]
    return packed(*made, *more)


def integrity(content: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


class Registry(Server):
    """A registry. `add` packages to it; `asked` is what was requested, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.packages: dict[str, dict[str, Any]] = {}

    @property
    def root(self) -> str:
        return f"http://{self.host}/"

    def publish(
        self,
        name: str,
        version: str = "1.0.0",
        files: Mapping[str, Content] | None = None,
        *,
        content: bytes | None = None,
        tag: str = "latest",
        said: Mapping[str, Any] | None = None,
        **manifest: Any,
    ) -> bytes:
        """A version of a package; `said` is what the registry says of it besides."""
        module = {"type": "module", "main": "index.js"} if "main" not in manifest else {}
        given = {"index.js": f"export const version = {version!r};"} if files is None else files
        made = content or tarball(name, version, given, **module | manifest)
        path = f"/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
        self.content[path] = made
        known = ("dependencies", "peerDependencies", "peerDependenciesMeta", "optionalDependencies")
        page = self.packages.setdefault(name, {"name": name, "dist-tags": {}, "versions": {}})
        page["versions"][version] = {
            "name": name,
            "version": version,
            "dist": {"tarball": self.root[:-1] + path, "integrity": integrity(made)},
            **{key: manifest[key] for key in known if key in manifest},
            **(said or {}),
        }
        page["dist-tags"][tag] = version
        return made

    def answer(self, path: str) -> tuple[int, str, bytes]:
        page = self.packages.get(unquote(path[1:]))
        if page is None or path in self.pages:
            return super().answer(path)
        return 200, "application/json", json.dumps(page).encode()
