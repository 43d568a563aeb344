"""Arguments of a tool, held to the schema that its manifest shows.

A small part of JSON Schema, all of which is checked: a manifest with another keyword is none, so a
schema never promises what nobody looks at. Not among them are patterns, whose matching a stranger
could make take hours, and references.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facets.agents.errors import BadToolArguments

DEPTH = 16
"""Schemas within schemas."""
_SHOWN = frozenset({"title", "description", "default", "examples"})
_CHECKED = frozenset({
    "type", "enum", "const", "anyOf", "properties", "required", "additionalProperties", "items",
    "minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum",
})  # fmt: skip
_TYPES: Mapping[str, Any] = {
    "object": lambda one: isinstance(one, dict),
    "array": lambda one: isinstance(one, list),
    "string": lambda one: isinstance(one, str),
    "boolean": lambda one: isinstance(one, bool),
    "null": lambda one: one is None,
    "number": lambda one: _is_number(one),
    "integer": lambda one: _is_number(one) and one == one // 1,
}
_BOUNDS: Mapping[str, Any] = {
    "minItems": (list, lambda one, least: len(one) >= least, "has less than {} items"),
    "maxItems": (list, lambda one, most: len(one) <= most, "has more than {} items"),
    "minLength": (str, lambda one, least: len(one) >= least, "has less than {} characters"),
    "maxLength": (str, lambda one, most: len(one) <= most, "has more than {} characters"),
    "minimum": (float, lambda one, least: one >= least, "is less than {}"),
    "maximum": (float, lambda one, most: one <= most, "is more than {}"),
    "exclusiveMinimum": (float, lambda one, least: one > least, "is not more than {}"),
    "exclusiveMaximum": (float, lambda one, most: one < most, "is not less than {}"),
}


def check_schema(schema: object, path: str = "parameters", depth: int = 0) -> None:
    """ValueError if it is no schema, or says what is not checked here."""
    if not isinstance(schema, dict) or depth > DEPTH:
        raise ValueError(f"{path} is no schema" if depth <= DEPTH else f"{path} is too deep")
    for keyword, value in schema.items():
        if keyword not in _CHECKED | _SHOWN:
            raise ValueError(f"{path} says {keyword!r}, which is not checked here")
        if not _fits(keyword, value):
            raise ValueError(f"{path}.{keyword} is not what that keyword takes")
    for name, one in schema.get("properties", {}).items():
        check_schema(one, f"{path}.{name}", depth + 1)
    for number, one in enumerate(schema.get("anyOf", ())):
        check_schema(one, f"{path}.anyOf[{number}]", depth + 1)
    for keyword in ("items", "additionalProperties"):
        if isinstance(one := schema.get(keyword), dict):
            check_schema(one, f"{path}.{keyword}", depth + 1)


def _fits(keyword: str, value: Any) -> bool:
    if keyword == "type":
        return all(isinstance(one, str) and one in _TYPES for one in _list(value))
    if keyword == "required":
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if keyword == "additionalProperties":
        return isinstance(value, (bool, dict))
    if keyword in _BOUNDS:
        return _is_number(value)
    kinds = {"properties": dict, "items": dict, "enum": list, "anyOf": list}
    return isinstance(value, kinds.get(keyword, object))


def check(tool: str, schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """`BadToolArguments` with all that is wrong. What the schema does not name is refused, unless
    it says `additionalProperties`."""
    wrong = _wrong({"additionalProperties": False, **schema}, dict(arguments), "")
    if wrong:
        raise BadToolArguments(f"wrong arguments of {tool}: {'; '.join(wrong[:8])}", name=tool)


def _wrong(schema: Mapping[str, Any], value: Any, path: str) -> list[str]:
    where = path or "it"
    if "type" in schema and not any(_TYPES[one](value) for one in _list(schema["type"])):
        return [f"{where} is not {' or '.join(_list(schema['type']))}"]
    found = []
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        found.append(f"{where} is none of {schema['enum']!r}"[:200])
    if "const" in schema and not _same(value, schema["const"]):
        found.append(f"{where} is not {schema['const']!r}"[:200])
    if "anyOf" in schema and all(_wrong(one, value, path) for one in schema["anyOf"]):
        found.append(f"{where} is nothing of what it may be")
    for keyword, (kind, holds, why) in _BOUNDS.items():
        applies = _is_number(value) if kind is float else isinstance(value, kind)
        if keyword in schema and applies and not holds(value, schema[keyword]):
            found.append(f"{where} {why.format(schema[keyword])}")
    if isinstance(value, dict):
        found += _wrong_object(schema, value, path)
    if isinstance(value, list) and "items" in schema:
        for number, one in enumerate(value):
            found += _wrong(schema["items"], one, f"{path}[{number}]")
    return found


def _wrong_object(schema: Mapping[str, Any], value: dict[str, Any], path: str) -> list[str]:
    dot = f"{path}." if path else ""
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    found = [f"{dot}{name} is missing" for name in schema.get("required", ()) if name not in value]
    for name, one in value.items():
        if name in known:
            found += _wrong(known[name], one, f"{dot}{name}")
        elif others is False:
            found.append(f"{dot}{name} is not known")
        elif isinstance(others, dict):
            found += _wrong(others, one, f"{dot}{name}")
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same(one: object, other: object) -> bool:
    """As JSON says: true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
