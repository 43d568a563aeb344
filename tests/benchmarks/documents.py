"""Large OpenAPI documents that a package of npm ships, fetched once and kept in the cache."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

from facets.isolates.image import cache_folder
from facets.packages.npm.fetching import Fetcher, default
from facets.packages.store import Store

PACKAGE = "@octokit/openapi"
VERSION = "23.0.2"
INTEGRITY = "sha512-" + (
    "pV8M7L9GY23AybNvTmo2nyjmpmnt6+2sRE/tqr0ZLQcPS4lnw7u5eZGNmwRNkBC3D7gZXbFx5AHzLUVRBXGDhg=="
)
NAMES = ("api.github.com", "ghec")
"""Of documents in it: a hosted service, and the largest."""


def document(name: str) -> dict[str, Any]:
    """One of them. IndexFailed where there is no registry to be had."""
    folder = cache_folder("packages/documents") / VERSION
    path = folder / f"{name}.json"
    if not path.exists():
        _unpack(folder)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _unpack(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with Fetcher(None, Store()) as fetcher:
        url = f"{default().url}{PACKAGE}/-/{PACKAGE.partition('/')[2]}-{VERSION}.tgz"
        content = fetcher.tarball(url, INTEGRITY)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for name in NAMES:
            found = archive.extractfile(f"package/generated/{name}.json")
            assert found is not None
            whole = folder / f"{name}.json.{os.getpid()}"
            whole.write_bytes(found.read())
            whole.rename(folder / f"{name}.json")
