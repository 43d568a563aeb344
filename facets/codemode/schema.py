"""JSON Schema, read with its references: what arguments there are, and whether some fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEPTH = 24
"""References followed for one schema, and levels at which values are checked."""
PARTS = 64
"""Schemas of one `allOf`, those below it included."""
CHECKS = 20_000
"""Schemas that one value is held against. One whose choices lead back to itself has no end, and
what is not looked at is for whoever runs the call to judge."""
_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "array": (list, tuple), "object": (dict,), "null": (type(None),),
}  # fmt: skip


class Schema:
    """One schema within the document that its references point into.

    A reference that leads nowhere, to itself or out of the document allows anything: a server
    that lies about its schema gets its own calls wrong, and nothing else.
    """

    __slots__ = ("name", "root", "value")

    def __init__(self, value: Any, root: Any = None) -> None:
        self.root = value if root is None else root
        self.name = ""
        """What the last reference called it."""
        self.value: Mapping[str, Any] = self._resolved(value)

    def _resolved(self, value: Any) -> Mapping[str, Any]:
        for _ in range(DEPTH):
            if not isinstance(value, Mapping):
                return {}
            reference = value.get("$ref")
            if not isinstance(reference, str):
                return value
            self.name = reference.rpartition("/")[2]
            value = _pointed(self.root, reference)
        return {}

    def at(self, value: Any) -> Schema:
        """Another schema of the same document."""
        return Schema(value, self.root)

    @property
    def properties(self) -> dict[str, Schema]:
        """By name, those of its `allOf` included."""
        found: dict[str, Schema] = {}
        for part in self._parts():
            given = part.value.get("properties")
            for name, value in (given if isinstance(given, Mapping) else {}).items():
                found.setdefault(str(name), self.at(value))
        return found

    @property
    def required(self) -> frozenset[str]:
        """The names that must be given."""
        names: set[str] = set()
        for part in self._parts():
            names |= {n for n in _list(part.value.get("required")) if isinstance(n, str)}
        return frozenset(names)

    def _parts(self) -> list[Schema]:
        """Itself and all of its `allOf`, each once."""
        parts = [self]
        for part in parts:
            for one in map(self.at, _list(part.value.get("allOf"))[:PARTS]):
                if len(parts) < PARTS and all(one.value is not known.value for known in parts):
                    parts.append(one)
        return parts

    @property
    def kinds(self) -> list[str]:
        """The JSON types it names; none if it does not say."""
        given = self.value.get("type")
        named = [given] if isinstance(given, str) else _list(given)
        if not named and "properties" in self.value:
            named = ["object"]
        found = [kind for kind in named if isinstance(kind, str) and kind in _KINDS]
        return [*found, "null"] if found and self.value.get("nullable") is True else found

    @property
    def choices(self) -> list[Schema]:
        """Of `anyOf` or `oneOf`."""
        given = self.value.get("anyOf") or self.value.get("oneOf")
        return [self.at(one) for one in _list(given)]

    @property
    def enum(self) -> list[Any]:
        """The values it allows; none if it does not say."""
        if "const" in self.value:
            return [self.value["const"]]
        return _list(self.value.get("enum"))

    @property
    def binary(self) -> bool:
        """Whether it is a string of OpenAPI that is bytes."""
        return "string" in self.kinds and self.value.get("format") == "binary"

    @property
    def text(self) -> str:
        """What it says about itself."""
        found = self.value.get("description")
        return found if isinstance(found, str) else ""

    def misfit(self, value: Any) -> str | None:
        """What is wrong with a value, for who wrote it; None if nothing is.

        Types, enums, required names and unknown names are looked at, and no patterns or ranges:
        whoever runs the call checks those, and a pattern can take forever.
        """
        return _Check().of(self, value, "", 0)


class _Check:
    """One value held against one schema."""

    def __init__(self) -> None:
        self._left = CHECKS

    def of(self, schema: Schema, value: Any, where: str, depth: int) -> str | None:
        self._left -= 1
        if depth > DEPTH or self._left < 0:
            return None
        choices = schema.choices
        if choices:
            told = [self.of(one, value, where, depth + 1) for one in choices]
            return None if None in told else told[0]
        if schema.enum and value not in schema.enum:
            return f"{where or 'it'} must be one of {schema.enum[:20]!r}, not {_short(value)}"
        if isinstance(value, bytes) and schema.binary:
            return None
        if schema.kinds and not any(_is(value, kind) for kind in schema.kinds):
            return f"{where or 'it'} must be {' or '.join(schema.kinds)}, not {_short(value)}"
        if isinstance(value, dict):
            return self._members(schema, value, where, depth)
        if isinstance(value, (list, tuple)) and "items" in schema.value:
            items = schema.at(schema.value["items"])
            each = (self.of(items, v, f"{where}[{i}]", depth + 1) for i, v in enumerate(value))
            return next(filter(None, each), None)
        return None

    def _members(self, schema: Schema, value: dict[Any, Any], where: str, depth: int) -> str | None:
        known = schema.properties
        prefix = f"{where}: " if where else ""
        missing = [name for name in sorted(schema.required) if name not in value]
        if missing:
            return f"{prefix}{', '.join(missing)} must be given"
        unknown = [name for name in value if name not in known]
        if unknown and schema.value.get("additionalProperties") is False:
            said = ", ".join(known) or "nothing"
            return f"{prefix}{_short(unknown[0])} is not known; there is {said}"
        told = (
            self.of(known[name], one, f"{where}.{name}" if where else str(name), depth + 1)
            for name, one in value.items()
            if name in known
        )
        return next(filter(None, told), None)


def _pointed(root: Any, reference: str) -> Any:
    """What a JSON pointer of the document leads to; anything if it leads nowhere."""
    if not reference.startswith("#"):
        return {}
    value = root
    for part in reference[1:].split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(value, Mapping) or key not in value:
            return {}
        value = value[key]
    return value


def _list(value: Any) -> list[Any]:
    """What is a list; of anything else, nothing."""
    return list(value) if isinstance(value, (list, tuple)) else []


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _KINDS[kind])


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
