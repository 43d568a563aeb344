"""The operations of an OpenAPI document as tools."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

from facets.codemode.errors import BadDocument
from facets.codemode.operation import Operation, connector_name, distinct, identifier
from facets.codemode.placing import Shape
from facets.codemode.schema import Schema
from facets.codemode.swagger import upgraded

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
_IDEMPOTENT = _SAFE | {"PUT", "DELETE"}


class Request(Protocol):
    """Makes one request, with whatever address and credentials belong to it, on the host.

    `path` is below the address of the service, its parameters filled in and encoded; of an
    operation that the document has on a server of its own, it is a whole URL. `query` has texts,
    and lists of texts for names that are repeated. The header `Content-Type` says what `body`
    is to be sent as, `multipart/form-data` too. Returns the decoded body; raises for an answer
    that is a failure.

    It belongs to whoever makes the connector, as the credentials do: the code in the isolate cannot
    choose the host, or a header that the document does not name. `HttpRequest` is one.
    """

    def __call__(
        self, method: str, path: str, *, query: dict[str, Any], headers: dict[str, str], body: Any
    ) -> Awaitable[Any]:
        """Make it."""
        ...


class OpenApiConnector:
    """Each operation of a document of OpenAPI 3 or 2 is a tool, called by its `operationId`.

    References are followed where they are needed, those that lead in circles too. Arguments are
    the parameters of path, query, header and cookie, and the members of a body that is an object;
    any other body, or one with a member called like a parameter, is the argument `body`. A value
    for the path is encoded whole, and cannot lead to another path. What the document's security
    schemes name is no argument: credentials are added by `request`.
    """

    def __init__(self, name: str, document: Mapping[str, Any], *, request: Request) -> None:
        self.name = connector_name(name)
        document = upgraded(document) if document.get("swagger") == "2.0" else document
        self._document = document
        self._request = request
        paths = document.get("paths")
        if not isinstance(paths, Mapping):
            raise BadDocument("the document has no paths: is it OpenAPI?", where="paths")
        self._secret = _secrets(document)
        self._operations: dict[str, Operation] = {}
        for path, item in paths.items():
            self._path(str(path), Schema(item, document).value)

    async def operations(self) -> Sequence[Operation]:
        """In the order of the document."""
        return [*self._operations.values()]

    async def close(self) -> None:
        """Nothing is held."""

    def _path(self, path: str, item: Mapping[str, Any]) -> None:
        for method in _METHODS:
            found = item.get(method)
            if isinstance(found, Mapping):
                self._add(method.upper(), path, found, item)

    def _add(
        self, method: str, path: str, found: Mapping[str, Any], item: Mapping[str, Any]
    ) -> None:
        given = found.get("operationId")
        if not isinstance(given, str):
            given = f"{method.lower()} {path.strip('/')}"
        name = distinct(identifier(given), self._operations)
        listed = [*_list(found.get("parameters")), *_list(item.get("parameters"))]
        shape = Shape(self._document, path, listed, found.get("requestBody"), self._secret)
        server = server_url(found) or server_url(item)

        async def call(arguments: dict[str, Any]) -> Any:
            target, query, headers, body = shape.split(arguments)
            return await self._request(
                method, f"{server}{target}", query=query, headers=headers, body=body
            )

        text = "\n".join(filter(None, (found.get("summary"), found.get("description"))))
        self._operations[name] = Operation(
            connector=self.name, name=name, call=call, parameters=shape.parameters,
            returns=_answer(self._document, found), description=text, method=method,
            location=path, repeatable=method in _IDEMPOTENT,
        )  # fmt: skip


def server_url(described: Mapping[str, Any]) -> str:
    """The first server that a document, a path or an operation names, its variables at their
    defaults; "" if it names none."""
    if described.get("swagger") == "2.0":
        described = upgraded(described)
    servers = _list(described.get("servers"))
    server = servers[0] if servers and isinstance(servers[0], Mapping) else {}
    url = server.get("url")
    variables = server.get("variables")
    for name, one in (variables if isinstance(variables, Mapping) else {}).items():
        default = one.get("default", "") if isinstance(one, Mapping) else ""
        url = str(url).replace(f"{{{name}}}", str(default))
    return url.rstrip("/") if isinstance(url, str) else ""


def _secrets(document: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """Places and names of what its security schemes put into requests."""
    components = document.get("components")
    schemes = components.get("securitySchemes") if isinstance(components, Mapping) else None
    found = [
        Schema(one, document).value
        for one in (schemes.values() if isinstance(schemes, Mapping) else ())
    ]
    return frozenset(
        (str(one.get("in")), str(one.get("name")).lower())
        for one in found
        if one.get("type") == "apiKey"
    )


def _answer(document: Mapping[str, Any], found: Mapping[str, Any]) -> Schema:
    """The schema of what a success gives."""
    answers = found.get("responses")
    for code, answer in (answers if isinstance(answers, Mapping) else {}).items():
        if str(code).startswith("2"):
            content = Schema(answer, document).value.get("content")
            for kind, media in (content if isinstance(content, Mapping) else {}).items():
                if "json" in kind:
                    return Schema(Schema(media, document).value.get("schema", {}), document)
            return Schema({"type": "null"}, document)
    return Schema({}, document)


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []
