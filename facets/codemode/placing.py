"""Where each argument of an operation goes in its request, and how it is written there.

The styles are those of OpenAPI 3: `form`, exploded or not, and `deepObject` in a query, `simple`
in path and headers, `content` for what is JSON within one of these.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from facets.codemode.errors import MisfitArguments
from facets.codemode.operation import identifier
from facets.codemode.schema import Schema

_HOLE = re.compile(r"\{([^{}]+)\}")
_PLACES = ("path", "query", "header", "cookie")
_IGNORED = frozenset(("accept", "content-type", "authorization"))
"""Headers that OpenAPI says are described elsewhere, whoever lists them as parameters."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Of one argument."""

    where: str
    name: str
    style: str
    explode: bool
    as_json: bool


class Shape:
    """The arguments of one operation. `secret` are places and names that no argument may have."""

    def __init__(
        self,
        document: Mapping[str, Any],
        path: str,
        listed: Sequence[Any],
        body: Any,
        secret: frozenset[tuple[str, str]] = frozenset(),
    ) -> None:
        self._path = path
        self._secret = secret
        self._places: dict[str, _Place] = {}
        self._properties: dict[str, Any] = {}
        self._required: list[str] = []
        self._kind = ""
        """What its body is sent as."""
        found = [Schema(one, document) for one in listed]
        self._holes({one.value.get("name") for one in found}, document)
        for one in found:
            self._parameter(one)
        self._whole = self._body(Schema(body, document))
        self.parameters = Schema(
            {
                "type": "object", "properties": self._properties, "required": self._required,
                "additionalProperties": False,
            },
            document,
        )  # fmt: skip

    def _holes(self, named: set[Any], document: Mapping[str, Any]) -> None:
        """Every hole of the path is an argument, also where the document forgot to say so."""
        for hole in _HOLE.findall(self._path):
            if hole not in named:
                given = {"name": hole, "in": "path", "schema": {"type": "string"}}
                self._parameter(Schema(given, document))

    def _parameter(self, found: Schema) -> None:
        one = found.value
        name, where = one.get("name"), one.get("in")
        if not isinstance(name, str) or where not in _PLACES or self._hidden(where, name):
            return
        argument = identifier(name)
        if argument in self._places:
            return  # the operation's own goes before that of its path
        content = one.get("content")
        kinds = content if isinstance(content, Mapping) else {}
        media = next(iter(kinds.values()), one)
        schema = media.get("schema") if isinstance(media, Mapping) else None
        schema = schema if isinstance(schema, Mapping) else {}
        style = one.get("style", "form" if where in ("query", "cookie") else "simple")
        explode = one.get("explode", style == "form")
        self._places[argument] = _Place(where, name, style, explode is True, bool(kinds))
        text = one.get("description")
        self._properties[argument] = {**schema, "description": text} if text else schema
        if where == "path" or one.get("required") is True:
            self._required.append(argument)

    def _hidden(self, where: str, name: str) -> bool:
        low = name.lower()
        return (where, low) in self._secret or (where == "header" and low in _IGNORED)

    def _body(self, body: Schema) -> bool:
        """Whether the body is one argument."""
        content = body.value.get("content")
        if not isinstance(content, Mapping) or not content:
            return True
        self._kind = next((key for key in content if "json" in key), next(iter(content)))
        schema = body.at(Schema(content[self._kind], body.root).value.get("schema", {}))
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
        path: dict[str, str] = {}
        query: dict[str, Any] = {}
        headers: dict[str, str] = {}
        cookies: list[str] = []
        for argument, place in self._places.items():
            if argument not in left:
                continue
            value = left.pop(argument)
            if place.where == "query":
                query |= _query(place, value)
            elif place.where == "path":
                path[place.name] = _segment(_simple(place, value))
            elif place.where == "header":
                headers[place.name] = _header(_simple(place, value))
            else:
                cookies.append(f"{place.name}={quote(_simple(place, value), safe='')}")
        headers |= {"Cookie": "; ".join(cookies)} if cookies else {}
        body = left.get("body") if self._whole else (left or None)
        headers |= {"Content-Type": self._kind} if body is not None and self._kind else {}
        return _HOLE.sub(lambda hole: path[hole.group(1)], self._path), query, headers, body


def _query(place: _Place, value: Any) -> dict[str, Any]:
    """By name; lists for names that are repeated."""
    if place.as_json:
        return {place.name: json.dumps(value)}
    if isinstance(value, dict):
        if place.style == "deepObject":
            return {f"{place.name}[{key}]": _texts(one) for key, one in value.items()}
        if place.explode:
            return {str(key): _texts(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)) and place.explode:
        return {place.name: _texts(value)}
    mark = {"spaceDelimited": " ", "pipeDelimited": "|"}.get(place.style, ",")
    return {place.name: _simple(place, value, mark)}


def _texts(value: Any) -> str | list[str]:
    return [*map(_text, value)] if isinstance(value, (list, tuple)) else _text(value)


def _simple(place: _Place, value: Any, mark: str = ",") -> str:
    if place.as_json:
        return json.dumps(value)
    if isinstance(value, dict):
        value = [part for pair in value.items() for part in pair]
    return mark.join(map(_text, value)) if isinstance(value, (list, tuple)) else _text(value)


def _segment(value: str) -> str:
    """One part of a path, which stays one: `..` and slashes lead nowhere."""
    text = quote(value, safe=",")
    if text in ("", ".", ".."):
        raise MisfitArguments(f"{value!r} is no part of a path")
    return text


def _header(text: str) -> str:
    if not text.isprintable():
        raise MisfitArguments(f"{text!r} is no value of a header")
    return text


def _text(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
