"""What an index says about one package: its files. JSON as it should be, HTML where it must be."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import urldefrag, urljoin, urlsplit

import msgspec

from facets.packages.errors import IndexFailed

JSON = "application/vnd.pypi.simple.v1+json"
ACCEPT = f"{JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


class File(NamedTuple):
    """One file of one release."""

    filename: str
    url: str
    sha256: str = ""
    """"" if the index does not say."""
    requires_python: str = ""
    yanked: bool = False
    metadata: bool = False
    """Whether its metadata can be had without it, at `url` + ".metadata"."""
    metadata_sha256: str = ""


class _File(msgspec.Struct, rename="kebab"):
    filename: str
    url: str
    hashes: dict[str, str] = {}
    requires_python: str | None = None
    yanked: bool | str = False
    core_metadata: bool | dict[str, str] | None = None
    dist_info_metadata: bool | dict[str, str] | None = None


class _Meta(msgspec.Struct, rename="kebab"):
    api_version: str = "1.0"


class _Page(msgspec.Struct):
    files: list[_File]
    meta: _Meta = msgspec.field(default_factory=_Meta)


def parse(content: bytes, kind: str, url: str) -> list[File]:
    """The files on this page, with absolute urls; `kind` is its Content-Type."""
    kind = kind.partition(";")[0].strip().lower()
    try:
        found = _from_json(content) if kind.endswith("json") else _from_html(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise IndexFailed(
            f"the index answers {url} with nonsense: {error}"[:300], url=url
        ) from None
    files = (one._replace(url=urljoin(url, one.url)) for one in found)
    return [one for one in files if urlsplit(one.url).scheme in ("http", "https")]


def _from_json(content: bytes) -> list[File]:
    page = msgspec.json.decode(content, type=_Page)
    if page.meta.api_version.partition(".")[0] != "1":
        raise msgspec.ValidationError(f"version {page.meta.api_version} of the interface")
    return [_file(one) for one in page.files]


def _file(one: _File) -> File:
    offered = one.core_metadata if one.core_metadata is not None else one.dist_info_metadata
    return File(
        one.filename,
        one.url,
        one.hashes.get("sha256", "").lower(),
        one.requires_python or "",
        one.yanked is not False,
        bool(offered),
        offered.get("sha256", "").lower() if isinstance(offered, dict) else "",
    )


def _from_html(content: bytes) -> list[File]:
    page = _Links()
    page.feed(content.decode())
    page.close()
    return page.files


class _Links(HTMLParser):
    """Collects the links of a page; what is said about a file stands in its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[File] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        link = said.get("href")
        if tag != "a" or not link:
            return
        url, fragment = urldefrag(link)
        offered = said.get("data-core-metadata", said.get("data-dist-info-metadata", "false"))
        self.files.append(
            File(
                urlsplit(url).path.rpartition("/")[2],
                url,
                _sha256(fragment),
                said.get("data-requires-python") or "",
                "data-yanked" in said,
                offered not in (None, "", "false"),
                _sha256(offered or ""),
            )
        )


def _sha256(text: str) -> str:
    algorithm, _, value = text.partition("=")
    return value.lower() if algorithm == "sha256" else ""
