"""Schemas that mean harm, and what holds against them."""

from __future__ import annotations

from typing import Any

from facets.codemode.operation import Operation
from facets.codemode.schema import Schema
from facets.codemode.stubs import Declared, declare, signature

SELF = {"$ref": "#"}
ENDLESS: dict[str, Any] = {
    "anyOf": [{"type": "object", "properties": {str(n): SELF for n in range(9)}}, SELF, SELF, SELF],
    "allOf": [SELF, SELF, {"allOf": [SELF, SELF, {"allOf": [SELF, SELF]}]}],
}


async def nothing(arguments: dict[str, Any]) -> Any: ...


def test_schemas_without_an_end_are_checked_and_declared_in_bounded_work() -> None:
    schema = Schema({"type": "object", "properties": {"a": SELF, "b": ENDLESS}, **ENDLESS})
    value: Any = 1
    for _ in range(50):
        value = {str(n): value for n in range(9)}
    schema.misfit(value)
    tool = Operation("c", "t", nothing, Schema({"properties": {"a": ENDLESS, "b": SELF}}), schema)
    for language in ("python", "typescript"):
        assert len(declare(tool, language)) < 200_000
        assert signature(tool, Declared(language, room=0))


def test_references_that_lead_nowhere_allow_anything() -> None:
    for reference in ("#/nowhere", "#", "http://10.0.0.1/x", "#/a/b", ""):
        schema = Schema({"$ref": reference}, {"$ref": "#", "a": 1})
        assert schema.misfit({"any": "thing"}) is None
        assert Declared("python").type(schema, "x") == "Any"


def test_a_schema_that_is_none_allows_anything() -> None:
    for broken in (None, 5, [], "text", {"type": 5}, {"required": 5, "properties": 5}):
        assert Schema(broken).misfit({"a": 1}) is None


def test_values_are_held_against_types_enums_and_names() -> None:
    schema = Schema(
        {
            "properties": {
                "n": {"type": "integer", "nullable": True},
                "list": {"type": "array", "items": {"enum": ["a", "b"]}},
                "one": {"oneOf": [{"type": "string"}, {"type": "boolean"}]},
            },
            "required": ["n"],
            "additionalProperties": False,
        }
    )
    assert schema.misfit({"n": None, "list": ["a"], "one": True}) is None
    assert schema.misfit({"n": 1.0}) is None
    for wrong, told in {
        "x": "it must be object, not 'x'",
        "n": "n must be integer or null, not True",
        "list": "list[1] must be one of ['a', 'b'], not 'c'",
        "one": "one must be string, not 5",
    }.items():
        given: Any = {"n": 1, "n ": 1} if wrong == "x" else {"n": 1}
        given = {"x": "x", "n": {"n": True}, "list": {"n": 1, "list": ["a", "c"]}}.get(
            wrong, {**given, "one": 5}
        )
        assert schema.misfit(given) == told
