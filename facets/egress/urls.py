"""The only reading of a URL.

What is matched against rules and what is connected to come from one `Target`, so there is no
second parser to disagree. Whatever two parsers are known to read differently is refused: user
information, backslashes, control characters, percent signs in hosts, numbers that some resolvers
take for addresses, trailing dots, zones.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import NoReturn

from facets.egress.errors import EgressDenied
from facets.egress.paths import without_dots

LENGTH = 8192
"""Characters in a URL."""
PORTS = {"http": 80, "https": 443}

_UNRESERVED = r"A-Za-z0-9\-._~!$&'()*+,;=:@/"
_PATH_UNSAFE = re.compile(rf"%(?![0-9A-Fa-f]{{2}})|[^%{_UNRESERVED}]")
_QUERY_UNSAFE = re.compile(rf"%(?![0-9A-Fa-f]{{2}})|[^%?{_UNRESERVED}]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTROL_ENCODED = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes. All parts are ASCII and canonical; `query` is None without a `?`."""

    scheme: str
    host: str
    port: int
    path: str
    query: str | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        """What must stay the same for credentials to stay."""
        return self.scheme, self.host, self.port

    @property
    def netloc(self) -> str:
        """Host and port as in a `Host` header: no default port, IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def resource(self) -> str:
        """Path and query, as they are sent."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def url(self) -> str:
        """The whole of it."""
        return f"{self.scheme}://{self.netloc}{self.resource}"

    @property
    def shown(self) -> str:
        """Without the query, which is where secrets stand."""
        return shown(f"{self.scheme}://{self.netloc}{self.path}")


def shown(url: object) -> str:
    """Any text as a URL in errors and records: no query, no user information, no odd characters."""
    text = re.split(r"[?#]", str(url)[:LENGTH], maxsplit=1)[0]
    scheme, separator, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    text = scheme + separator + authority.rpartition("@")[2] + slash + path
    return ascii(text[:200])[1:-1]


def parse(url: str) -> Target:
    """Read a URL; `EgressDenied` with reason "url" for anything that is not plainly http(s)."""
    if len(url) > LENGTH:
        _refuse(url, f"it is longer than {LENGTH} characters")
    if _CONTROL.search(url):
        _refuse(url, "it contains a control character")
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in PORTS:
        _refuse(url, "it does not begin with https:// or http://")
    end = re.search(r"[/?#]|$", rest)
    assert end is not None  # noqa: S101 - `$` always matches
    host, port = _authority(url, rest[: end.start()])
    path, mark, query = rest[end.start() :].partition("#")[0].partition("?")
    return Target(
        scheme,
        host,
        port or PORTS[scheme],
        _path(url, path),
        _encode(_QUERY_UNSAFE, query) if mark else None,
    )


def _refuse(url: str, why: str) -> NoReturn:
    where = shown(url)
    raise EgressDenied(f"the URL {where!r} is refused: {why}", reason="url", url=where)


def _authority(url: str, text: str) -> tuple[str, int | None]:
    if "\\" in text:
        _refuse(url, "a backslash is read as a slash by some")
    if "@" in text:
        _refuse(url, "it carries user information")
    split = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?", text)
    if split is None:
        _refuse(url, "host and port cannot be told apart")
    try:
        host = canonical_host(split[1])
    except ValueError as error:
        _refuse(url, str(error))
    return host, None if split[2] is None else _port(url, split[2])


def _port(url: str, text: str) -> int:
    if _PORT.fullmatch(text) is None or int(text) > 65535:
        _refuse(url, "its port is not a number from 1 to 65535")
    return int(text)


def _path(url: str, path: str) -> str:
    if "\\" in path:
        _refuse(url, "a backslash is read as a slash by some")
    if _CONTROL_ENCODED.search(path):
        _refuse(url, "its path contains an encoded control character")
    return without_dots(_encode(_PATH_UNSAFE, path) or "/")


def _encode(unsafe: re.Pattern[str], text: str) -> str:
    def escape(found: re.Match[str]) -> str:
        return "".join(f"%{byte:02X}" for byte in found[0].encode())

    return unsafe.sub(escape, text)


def canonical_host(text: str) -> str:
    """A host name in lower-case ASCII, or an address as `ipaddress` writes it.

    Raises ValueError for what is neither. IPv6 stands in brackets, as in a URL.
    """
    if text.startswith("["):
        if not text.endswith("]") or "%" in text:
            raise ValueError("its IPv6 address has a zone or no end")
        return str(ipaddress.IPv6Address(text[1:-1]))
    host = text.lower() if text.isascii() else _idna(text)
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # What ends in a number is an address to most resolvers: 127.1, 2130706433, 0x7f.1.
        # IPv4Address takes four decimal numbers and nothing else.
        return str(ipaddress.IPv4Address(host))
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("its host is not a name")
    return host


def _idna(text: str) -> str:
    try:
        from idna import IDNAError, encode
    except ImportError as error:
        raise ValueError("its host is not ASCII, which needs the extra egress") from error
    if re.search("[\u3002\uff0e\uff61]", text):
        raise ValueError("its host has dots that are not dots")
    try:
        return encode(text.lower()).decode().lower()
    except (IDNAError, UnicodeError) as error:
        raise ValueError("its host is not an internationalised name") from error


def follow(base: Target, location: str) -> Target:
    """Where a `Location` leads from `base`; `EgressDenied` if it cannot be read plainly."""
    if _SCHEME.match(location):
        return parse(location)
    if location.startswith("//"):
        return parse(f"{base.scheme}:{location}")
    root = f"{base.scheme}://{base.netloc}"
    if location.startswith("/"):
        return parse(root + location)
    if location.startswith("?"):
        return parse(root + base.path + location)
    if location == "" or location.startswith("#"):
        return replace(base)
    if ":" in re.split("[/?#]", location, maxsplit=1)[0]:
        # RFC 3986 allows none there: one reader sees a path, another a scheme.
        _refuse(location, "its first part has a colon")
    return parse(f"{root}{base.path.rpartition('/')[0]}/{location}")
