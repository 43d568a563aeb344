"""What a registry says about one package: its versions, what they need, and their tarballs."""

from __future__ import annotations

import base64
import re
from functools import cmp_to_key
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

import msgspec
import nodesemver

from facets.packages.errors import IndexFailed

ACCEPT = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8"
"""What is needed to install, and not the rest, which is many times as much."""
INTEGRITY = re.compile(r"sha512-([A-Za-z0-9+/]{86}==)")


class Release(NamedTuple):
    """One version of a package."""

    version: str
    url: str
    integrity: str
    """As npm writes it, "sha512-..."; "" if the registry does not say."""
    needs: dict[str, str]
    """Names and ranges: its dependencies, and those of its peers that it does not work without."""
    deprecated: bool


class Releases(NamedTuple):
    """What a registry has of a package, the newest version first."""

    every: list[Release]
    tags: dict[str, str]


class _Dist(msgspec.Struct):
    tarball: str
    integrity: str = ""


class _Meta(msgspec.Struct):
    optional: bool = False


class _Version(msgspec.Struct, rename="camel"):
    dist: _Dist
    dependencies: dict[str, str] = {}
    optional_dependencies: dict[str, str] = {}
    peer_dependencies: dict[str, str] = {}
    peer_dependencies_meta: dict[str, _Meta] = {}
    deprecated: str | bool = False


class _Page(msgspec.Struct):
    versions: dict[str, msgspec.Raw] = {}
    tags: dict[str, str] = msgspec.field(default_factory=dict, name="dist-tags")


def address(root: str, name: str) -> str:
    """Where the registry at `root` tells about this package."""
    return root + quote(name, safe="@")


def parse(content: bytes, url: str) -> Releases:
    """What the registry answered at this url. Versions that make no sense are left out."""
    try:
        page = msgspec.json.decode(content, type=_Page)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise IndexFailed(
            f"the registry answers {url} with nonsense: {error}"[:300], url=url
        ) from None
    found = [one for version, raw in page.versions.items() if (one := _release(version, raw, url))]
    found.sort(key=cmp_to_key(_order), reverse=True)
    return Releases(found, page.tags)


def digest(integrity: str) -> str:
    """The SHA-512 in it, as hexadecimal digits."""
    found = INTEGRITY.fullmatch(integrity)
    return base64.b64decode(found[1]).hex() if found else ""


def _release(version: str, raw: msgspec.Raw, url: str) -> Release | None:
    try:
        said = msgspec.json.decode(raw, type=_Version)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None  # as npm does: it can be published, and it cannot be installed
    where = urljoin(url, said.dist.tarball)
    if nodesemver.valid(version, False) is None or urlsplit(where).scheme not in ("http", "https"):
        return None
    hashes = [one for one in said.dist.integrity.split() if INTEGRITY.fullmatch(one)]
    return Release(
        version, where, min(hashes, default=""), _needs(said), said.deprecated not in (False, "")
    )


def _needs(said: _Version) -> dict[str, str]:
    """What it needs. What is optional is left out: it is what a platform may not have."""
    peers = {
        name: wanted
        for name, wanted in said.peer_dependencies.items()
        if not (name in said.peer_dependencies_meta and said.peer_dependencies_meta[name].optional)
    }
    needs = peers | said.dependencies
    return {name: needs[name] for name in needs if name not in said.optional_dependencies}


def _order(one: Any, other: Any) -> int:
    return int(nodesemver.compare(one.version, other.version, False))
