"""An index of packages, spoken to over the simple repository API; or a registry of npm."""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import TYPE_CHECKING, final
from urllib.parse import urlsplit, urlunsplit

from facets.packages import pipconfig
from facets.packages.errors import (
    IndexFailed,
    NoSuchPackage,
    PackagesTooLarge,
    PackagesUnavailable,
)
from facets.packages.limits import PAGE, SECONDS
from facets.packages.pages import ACCEPT, File, parse

if TYPE_CHECKING:
    import httpx

DEFAULT = "https://pypi.org/simple/"


@final
class Index:
    """Where packages are looked for. A value; nothing is asked before something is resolved.

    `url` is the root of a simple repository; it may hold a user and a password, which go to that
    host and nowhere else, into no lock and no error. `cafile` names certificates to trust instead
    of the usual ones. Without arguments it is what pip is configured to use, from its files
    and its environment, and else the public index. For packages of JavaScript, `url` is the root
    of a registry.
    """

    def __init__(self, url: str | None = None, *, cafile: str | None = None) -> None:
        configured = pipconfig.read() if url is None else pipconfig.Configured()
        given = url or configured.index_url or DEFAULT
        parts = urlsplit(given)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"{_bare(given)!r} is not the url of an index; write https://host/simple"
            )
        self._auth = (parts.username, parts.password or "") if parts.username else None
        self._cafile = cafile or configured.cert
        self.url = _bare(given).rstrip("/") + "/"
        """Without credentials."""

    def open(self) -> Connection:
        """A connection, for one thread; close it."""
        return Connection(self.url, self._auth, self._cafile)


@final
class Connection:
    """Requests to an index and to where its files are. Blocks; for one thread at a time."""

    def __init__(self, url: str, auth: tuple[str, str] | None, cafile: str | None) -> None:
        try:
            import httpx
        except ImportError as error:  # a lock whose wheels are here needs no index
            raise PackagesUnavailable("to fetch packages, httpx is needed") from error
        self._httpx = httpx
        self._url = url
        self._auth = auth
        self._client = httpx.Client(
            verify=ssl.create_default_context(cafile=cafile) if cafile else True,
            timeout=SECONDS,
            follow_redirects=True,
        )

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def files(self, name: str) -> list[File]:
        """What the index has of this package; NoSuchPackage if it does not know it."""
        url = f"{self._url}{name}/"
        content, kind = self._get(url, PAGE, ACCEPT)
        return parse(content, kind, url)

    def get(self, url: str, most: int, accept: str = "*/*") -> bytes:
        """One file of at most this many bytes."""
        return self._get(url, most, accept)[0]

    def _get(self, url: str, most: int, accept: str) -> tuple[bytes, str]:
        auth = self._auth if _origin(url) == _origin(self._url) else None
        # As it is sent: a compressed answer could be of any size when it is unpacked.
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        try:
            with self._client.stream("GET", url, headers=headers, auth=auth) as answer:
                self._check(answer, url)
                return _read(answer, url, most), answer.headers.get("content-type", "")
        except (self._httpx.HTTPError, self._httpx.InvalidURL) as error:
            said = str(error) or type(error).__name__
            raise IndexFailed(f"{_bare(url)} cannot be had: {said}"[:300], url=_bare(url)) from None

    def _check(self, answer: httpx.Response, url: str) -> None:
        if answer.status_code in (404, 410):
            name = url.rstrip("/").rpartition("/")[2]
            raise NoSuchPackage(f"the index has nothing at {_bare(url)}", name=name)
        if answer.status_code != 200:
            raise IndexFailed(
                f"{_bare(url)} answers with status {answer.status_code}", url=_bare(url)
            )
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise IndexFailed(f"{_bare(url)} answers in an encoding not asked for", url=_bare(url))


def _read(answer: httpx.Response, url: str, most: int) -> bytes:
    content = bytearray()
    for piece in answer.iter_raw():
        content += piece
        if len(content) > most:
            raise PackagesTooLarge(
                f"{_bare(url)} is larger than {most} bytes", limit=most, what="bytes of a download"
            )
    return bytes(content)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _bare(url: str) -> str:
    """The url without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
