"""Documents of OpenAPI 2 ("Swagger"), as those of OpenAPI 3 that say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facets.codemode.schema import Schema

_SHAPE = ("type", "format", "enum", "items", "default", "minimum", "maximum", "pattern")
_STYLES = {"ssv": "spaceDelimited", "pipes": "pipeDelimited"}
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")


def upgraded(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its operations, servers and security as version 3 writes them.

    `definitions` stay where they are, since references point there.
    """
    made = dict(document)
    made["paths"] = {
        path: _item(item, document) for path, item in _mapping(document.get("paths")).items()
    }
    made["components"] = {"securitySchemes": _mapping(document.get("securityDefinitions"))}
    host, base = document.get("host"), document.get("basePath", "")
    if isinstance(host, str):
        schemes = document.get("schemes")
        scheme = "http" if schemes == ["http"] else "https"
        made["servers"] = [{"url": f"{scheme}://{host}{base}"}]
    return made


def _item(item: Any, document: Mapping[str, Any]) -> dict[str, Any]:
    shared = [Schema(one, document).value for one in _list(_mapping(item).get("parameters"))]
    return {
        method: _operation(one, shared, document)
        for method, one in _mapping(item).items()
        if method in _METHODS and isinstance(one, Mapping)
    }


def _operation(
    found: Mapping[str, Any], shared: list[Mapping[str, Any]], document: Mapping[str, Any]
) -> dict[str, Any]:
    own = [Schema(one, document).value for one in _list(found.get("parameters"))]
    named = {(one.get("in"), one.get("name")) for one in own}
    every = [*own, *(one for one in shared if (one.get("in"), one.get("name")) not in named)]
    made = dict(found)
    made["parameters"] = [
        _parameter(one) for one in every if one.get("in") not in ("body", "formData")
    ]
    kinds = _list(found.get("consumes")) or _list(document.get("consumes"))
    body = next((one for one in every if one.get("in") == "body"), None)
    fields = [one for one in every if one.get("in") == "formData"]
    if body is not None:
        kind = kinds[0] if kinds else "application/json"
        content = {kind: {"schema": body.get("schema", {})}}
        made["requestBody"] = {"required": body.get("required", False), "content": content}
    elif fields:
        made["requestBody"] = _form(fields, kinds)
    made["responses"] = {
        code: {"content": {"application/json": {"schema": answer.get("schema", {})}}}
        if "schema" in (answer := Schema(one, document).value)
        else answer
        for code, one in _mapping(found.get("responses")).items()
    }
    return made


def _parameter(one: Mapping[str, Any]) -> dict[str, Any]:
    schema = {key: one[key] for key in _SHAPE if key in one}
    made = {key: one[key] for key in ("name", "in", "required", "description") if key in one}
    collected = one.get("collectionFormat", "csv")
    if one.get("type") == "array":
        made["explode"] = collected == "multi"
        made |= {"style": _STYLES[collected]} if collected in _STYLES else {}
    return {**made, "schema": schema}


def _form(fields: list[Mapping[str, Any]], kinds: list[Any]) -> dict[str, Any]:
    files = any(one.get("type") == "file" for one in fields)
    plain = "application/x-www-form-urlencoded"
    kind = "multipart/form-data" if files or "multipart/form-data" in kinds else plain
    schema = {
        "type": "object",
        "properties": {str(one.get("name")): _field(one) for one in fields},
        "required": [str(one.get("name")) for one in fields if one.get("required") is True],
    }
    return {"required": True, "content": {kind: {"schema": schema}}}


def _field(one: Mapping[str, Any]) -> dict[str, Any]:
    schema = {key: one[key] for key in (*_SHAPE, "description") if key in one}
    return schema | {"type": "string", "format": "binary"} if one.get("type") == "file" else schema


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []
