"""Requests to one service, with its credentials, which no code in an isolate ever sees."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from facets.codemode.errors import ToolFailed

if TYPE_CHECKING:
    import httpx

MOST = 32 << 20
"""Bytes of one answer that are read."""
SAID = 2_000
"""Characters of an answer that is a failure, for the code to read."""


class HttpRequest:
    """Makes the requests of an `OpenApiConnector` to the service at `url`.

    `headers` and `query` are added to each, whatever arguments of those names say: credentials, and
    what the service wants besides. They go to that address alone; an operation that its document
    has on another server is refused unless `also` names that server's URL. Redirects are not
    followed. Whatever takes longer than `timeout` seconds fails, as does an answer of more than
    32 MiB and any status of 400 or more: ToolFailed, with what the service said. Needs the extra
    `egress`.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        also: Sequence[str] = (),
        timeout: float = 30.0,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"{url!r} is no address of a service: http:// or https:// is needed")
        self._url = url.rstrip("/")
        self._headers = _sendable(headers or {})
        self._query = dict(query or {})
        self._also = frozenset(one.rstrip("/") for one in (url, *also))
        self._timeout = timeout
        self._client = client

    async def __call__(
        self, method: str, path: str, *, query: dict[str, Any], headers: dict[str, str], body: Any
    ) -> Any:
        """See `Request`."""
        import httpx

        url = path if "://" in path else f"{self._url}{path}"
        if not any(url.startswith(f"{one}/") for one in self._also):
            raise ToolFailed(f"{url[:200]} is on a server that is not in `also`", path=path)
        sent, content = _encoded(headers, body)
        own = {name.lower() for name in self._headers}
        kept = {name: value for name, value in sent.items() if name.lower() not in own}
        if self._client is None:
            self._client = httpx.AsyncClient(follow_redirects=False, timeout=self._timeout)
        request = self._client.build_request(
            method,
            url,
            params=self._query | query | self._query,
            headers={**kept, **self._headers},
            **content,
        )
        try:
            answer = await self._client.send(request, stream=True)
            try:
                return _decoded(answer, await _read(answer), path)
            finally:
                await answer.aclose()
        except httpx.HTTPError as error:
            raise ToolFailed(
                f"{method} {path}: {type(error).__name__}: {error}", path=path
            ) from error

    async def close(self) -> None:
        """Give up the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _sendable(headers: Mapping[str, str]) -> dict[str, str]:
    """ValueError for a value that no client sends: said here, and not in the error of a call, with
    the value in it, which the code inside reads."""
    for name, value in headers.items():
        if not value.isascii() or not value.isprintable() or value != value.strip():
            raise ValueError(
                f"the value of {name!r} is none of a header: is there a line end in it?"
            )
    return dict(headers)


def _encoded(headers: dict[str, str], body: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """Headers, and the body as the client takes it."""
    kind = headers.get("Content-Type", "")
    if body is None:
        return headers, {}
    if kind.startswith("multipart/") and isinstance(body, dict):
        rest = {name: value for name, value in headers.items() if name != "Content-Type"}
        parts = {key: (None, _part(one)) for key, one in body.items()}
        return rest, {"files": parts}  # the client writes the type with its boundary
    if kind.startswith("application/x-www-form-urlencoded") and isinstance(body, dict):
        return headers, {"data": {key: _part(one) for key, one in body.items()}}
    if isinstance(body, (str, bytes)) and "json" not in kind:
        return headers, {"content": body}
    return headers, {"content": json.dumps(body, default=str)}


def _part(value: Any) -> str | bytes:
    if isinstance(value, (str, bytes)):
        return value
    return json.dumps(value, default=str)


async def _read(answer: httpx.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in answer.aiter_bytes():
        size += len(part)
        if size > MOST:
            raise ToolFailed(f"the service gave more than {MOST} bytes", hint="ask for less")
        parts.append(part)
    return b"".join(parts)


def _decoded(answer: httpx.Response, content: bytes, path: str) -> Any:
    text = content.decode(answer.encoding or "utf-8", "replace")
    if answer.status_code >= 300:
        raise ToolFailed(f"{path}: HTTP {answer.status_code}: {text[:SAID]}", path=path)
    if not content:
        return None
    kind = answer.headers.get("Content-Type", "")
    if "json" in kind:
        try:
            return json.loads(text)
        except ValueError:
            raise ToolFailed(
                f"{path}: the service gave no JSON: {text[:SAID]}", path=path
            ) from None
    return text if kind.startswith("text/") or "xml" in kind else content
