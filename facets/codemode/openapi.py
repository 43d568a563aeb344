"""The operations of an OpenAPI document as tools."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

from facets.codemode.errors import BadDocument, MisfitArguments
from facets.codemode.operation import Operation, connector_name, distinct, identifier
from facets.codemode.schema import Schema

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
_IDEMPOTENT = _SAFE | {"PUT", "DELETE"}
_HOLE = re.compile(r"\{([^{}]+)\}")


class Request(Protocol):
    """Makes one request, with whatever address and credentials belong to it, on the host.

    `path` is below the address of the service, its parameters filled in and encoded. Returns the
    decoded body; raises for an answer that is a failure. It belongs to whoever makes the
    connector: the code in the isolate cannot choose the host, a header that the document does not
    name, or the credentials.
    """

    def __call__(
        self, method: str, path: str, *, query: dict[str, Any], headers: dict[str, str], body: Any
    ) -> Awaitable[Any]:
        """Make it."""
        ...


class OpenApiConnector:
    """Each operation of a document of OpenAPI 3 is a tool, called by its `operationId`.

    References are followed where they are needed, those that lead in circles too. Arguments are
    the parameters of path, query and header, and the members of a JSON body that is an object; any
    other body, or one with a member called like a parameter, is the argument `body`. A value for
    the path is encoded whole, and cannot lead to another path.
    """

    def __init__(self, name: str, document: Mapping[str, Any], *, request: Request) -> None:
        self.name = connector_name(name)
        self._document = document
        self._request = request
        paths = document.get("paths")
        if not isinstance(paths, Mapping):
            raise BadDocument("the document has no paths: is it OpenAPI 3?", where="paths")
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
                self._add(method.upper(), path, found, item.get("parameters", ()))

    def _add(self, method: str, path: str, found: Mapping[str, Any], shared: Any) -> None:
        given = found.get("operationId")
        if not isinstance(given, str):
            given = f"{method.lower()} {path.strip('/')}"
        name = distinct(identifier(given), self._operations)
        shape = _Shape(self._document, path, found, shared)

        async def call(arguments: dict[str, Any]) -> Any:
            target, query, headers, body = shape.split(arguments)
            return await self._request(method, target, query=query, headers=headers, body=body)

        text = " ".join(filter(None, (found.get("summary"), found.get("description"))))
        self._operations[name] = Operation(
            connector=self.name, name=name, call=call, parameters=shape.parameters,
            returns=_answer(self._document, found), description=text, method=method,
            location=path, repeatable=method in _IDEMPOTENT,
        )  # fmt: skip


class _Shape:
    """Where each argument of one operation goes."""

    def __init__(
        self, document: Mapping[str, Any], path: str, found: Mapping[str, Any], shared: Any
    ) -> None:
        self._path = path
        self._places: dict[str, tuple[str, str]] = {}
        """By argument: path, query or header, and the name there."""
        self._properties: dict[str, Any] = {}
        self._required: list[str] = []
        both = [*_list(found.get("parameters")), *_list(shared)]
        self._holes(both, document)
        for one in both:
            self._parameter(Schema(one, document).value)
        self._whole = self._body(Schema(found.get("requestBody"), document))
        self.parameters = Schema(
            {
                "type": "object", "properties": self._properties, "required": self._required,
                "additionalProperties": False,
            },
            document,
        )  # fmt: skip

    def _holes(self, listed: list[Any], document: Mapping[str, Any]) -> None:
        """Every hole of the path is an argument, also where the document forgot to say so."""
        named = {Schema(one, document).value.get("name") for one in listed}
        for hole in _HOLE.findall(self._path):
            if hole not in named:
                self._parameter({"name": hole, "in": "path", "schema": {"type": "string"}})

    def _parameter(self, one: Mapping[str, Any]) -> None:
        name, place = one.get("name"), one.get("in")
        if not isinstance(name, str) or place not in ("path", "query", "header"):
            return
        argument = identifier(name)
        if argument in self._places:
            return  # the operation's own goes before that of its path
        self._places[argument] = (place, name)
        schema = one.get("schema")
        schema = schema if isinstance(schema, Mapping) else {}
        text = one.get("description")
        self._properties[argument] = {**schema, "description": text} if text else schema
        if place == "path" or one.get("required") is True:
            self._required.append(argument)

    def _body(self, body: Schema) -> bool:
        """Whether the body is one argument."""
        content = body.value.get("content")
        if not isinstance(content, Mapping) or not content:
            return True
        kind = next((key for key in content if "json" in key), next(iter(content)))
        schema = body.at(Schema(content[kind], body.root).value.get("schema", {}))
        members = schema.properties
        must = body.value.get("required") is True
        names = [*members]
        plain = all(identifier(name) == name and name not in self._places for name in names)
        if not members or not plain or schema.choices:
            self._properties["body"] = schema.value
            self._required += ["body"] if must else []
            return True
        self._properties |= {name: one.value for name, one in members.items()}
        self._required += [name for name in names if name in schema.required and must]
        return False

    def split(
        self, arguments: dict[str, Any]
    ) -> tuple[str, dict[str, Any], dict[str, str], dict[str, Any] | Any]:
        """Target, query, headers, body."""
        left = dict(arguments)
        placed: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
        for argument, (place, name) in self._places.items():
            if argument in left:
                placed[place][name] = left.pop(argument)
        target = _HOLE.sub(lambda hole: _segment(placed["path"][hole.group(1)]), self._path)
        headers = {name: _header(value) for name, value in placed["header"].items()}
        body = left.get("body") if self._whole else (left or None)
        return target, placed["query"], headers, body


def _segment(value: Any) -> str:
    """One part of a path, which stays one: `..` and slashes lead nowhere."""
    text = quote(_text(value), safe="")
    if text in ("", ".", ".."):
        raise MisfitArguments(f"{value!r} is no part of a path")
    return text


def _header(value: Any) -> str:
    text = _text(value)
    if not text.isprintable():
        raise MisfitArguments(f"{value!r} is no value of a header")
    return text


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


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
