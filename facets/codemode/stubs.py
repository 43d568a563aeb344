"""Declarations of tools, made of their schemas: in Python and in TypeScript.

What a schema does not say, or says in a way that has no type, is `Any` and `unknown`. Records are
declared once, by the name that a reference gives them, up to a size; past it they are plain
dictionaries, so that one answer with a hundred nested records does not fill a model's memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from textwrap import indent
from typing import Any, Literal

from facets.codemode.operation import Operation, identifier
from facets.codemode.schema import Schema
from facets.codemode.tokens import tokens

Language = Literal["python", "typescript"]
RECORDS = 1_500
"""Tokens of records that one declaration may bring along."""
FEW = 12
"""Values of an enum that are written out, and choices of a union."""
TYPES = 2_000
"""Types that one declaration looks at; a schema whose choices lead back to itself has no end."""
DOC = 1_200
"""Characters of a description."""


@dataclass(frozen=True)
class _Words:
    """How a language says it."""

    plain: dict[str, str]
    binary: str
    unknown: str
    array: Callable[[str], str]
    mapping: Callable[[str], str]
    record: str
    literal: Callable[[list[Any]], str]


_PYTHON = _Words(
    {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"},
    "bytes | str",
    "Any",
    lambda inner: f"list[{inner}]",
    lambda inner: f"dict[str, {inner}]",
    "dict[str, Any]",
    lambda values: f"Literal[{', '.join(repr(one) for one in values)}]",
)
_TYPESCRIPT = _Words(
    {
        "string": "string", "integer": "number", "number": "number", "boolean": "boolean",
        "null": "null",
    },
    "Uint8Array | string",
    "unknown",
    lambda inner: f"({inner})[]" if "|" in inner else f"{inner}[]",
    lambda inner: f"Record<string, {inner}>",
    "Record<string, unknown>",
    lambda values: " | ".join(json.dumps(one, default=str) for one in values),
)  # fmt: skip


class Declared:
    """Types of one language, and the records that they speak of."""

    def __init__(self, language: Language, room: int = RECORDS) -> None:
        self.language = language
        self._words = _PYTHON if language == "python" else _TYPESCRIPT
        self._room = room
        self._left = TYPES
        self._records: dict[str, Schema] = {}
        self._done: dict[str, str] = {}

    def type(self, schema: Schema, name: str, depth: int = 0) -> str:
        """The type of a value; a record that it has to declare is called `name` if nothing else."""
        self._left -= 1
        if depth > 8 or self._left < 0:
            return self._words.unknown
        if 0 < len(schema.enum) <= FEW and all(_plain(one) for one in schema.enum):
            return self._words.literal(schema.enum)
        if schema.choices:
            return self._union(schema.choices[:FEW], name, depth)
        kinds = schema.kinds
        if not kinds and schema.properties:
            kinds = ["object"]
        told = dict.fromkeys(self._kind(schema, kind, name, depth) for kind in kinds)
        return " | ".join(told) or self._words.unknown

    def _union(self, choices: list[Schema], name: str, depth: int) -> str:
        told = dict.fromkeys(self.type(one, name, depth + 1) for one in choices)
        return self._words.unknown if self._words.unknown in told else " | ".join(told)

    def _kind(self, schema: Schema, kind: str, name: str, depth: int) -> str:
        words = self._words
        if kind == "array":
            return words.array(self.type(schema.at(schema.value.get("items", {})), name, depth + 1))
        if kind != "object":
            return words.binary if kind == "string" and schema.binary else words.plain[kind]
        if schema.properties:
            return self._record(schema, name)
        inner = schema.value.get("additionalProperties")
        if isinstance(inner, dict) and inner:
            return words.mapping(self.type(schema.at(inner), name, depth + 1))
        return words.record

    def _record(self, schema: Schema, name: str) -> str:
        name = _camel(schema.name or name)
        known = self._records.get(name)
        if known is not None and known.value != schema.value:
            return self._words.record
        if known is None and self._room <= 0:
            return self._words.record
        if known is None:
            self._records[name] = schema
            self._room -= tokens(" ".join(schema.properties)) * 3
        return name

    def records(self) -> str:
        """Declarations of the records that were met, in their order."""
        while len(self._done) < len(self._records):
            name, schema = next(islice(self._records.items(), len(self._done), None))
            self._done[name] = self._declared(name, schema)
        return "\n\n".join(self._done.values())

    def _declared(self, name: str, schema: Schema) -> str:
        members = [
            (key, self.type(one, f"{name}_{key}"), key in schema.required)
            for key, one in schema.properties.items()
        ]
        if self.language == "typescript":
            lines = [f"{_quoted(key)}{'' if must else '?'}: {kind};" for key, kind, must in members]
            return f"interface {name} {{\n{indent(chr(10).join(lines), '  ')}\n}}"
        fields = {key: kind if must else f"NotRequired[{kind}]" for key, kind, must in members}
        if all(key.isidentifier() for key in fields):
            lines = [f"{key}: {kind}" for key, kind in fields.items()]
            return f"class {name}(TypedDict):\n{indent(chr(10).join(lines), '    ')}"
        inner = ", ".join(f"{key!r}: {kind}" for key, kind in fields.items())
        return f"{name} = TypedDict({name!r}, {{{inner}}})"


def signature(operation: Operation, declared: Declared) -> str:
    """One line: the path, the arguments and what comes back."""
    required = operation.parameters.required
    name = operation.name
    texts = [
        _argument(key, declared.type(one, f"{name}_{key}"), one, key in required, declared.language)
        for key, one in operation.parameters.properties.items()
    ]
    texts.sort(key=lambda text: text[0])
    returns = declared.type(operation.returns, f"{name}_result")
    listed = ", ".join(text for _, text in texts)
    if declared.language == "typescript":
        argument = f"args{'' if required else '?'}: {{ {listed} }}" if listed else ""
        return f"{operation.path}({argument}): Promise<{returns}>"
    return f"await {operation.path}({listed}) -> {returns}"


def _argument(
    key: str, kind: str, schema: Schema, must: bool, language: Language
) -> tuple[bool, str]:
    """Whether it may be left out, and its text."""
    if language == "typescript":
        return not must, f"{_quoted(key)}{'' if must else '?'}: {kind}"
    key = key if key.isidentifier() else repr(key)
    if must:
        return False, f"{key}: {kind}"
    default = schema.value.get("default")
    return True, f"{key}: {kind} = {default!r}" if _plain(default) and default is not None else (
        f"{key}: {kind} = ..."
    )


def declare(operation: Operation, language: Language = "python") -> str:
    """All that a model needs for a call: records, signature, descriptions."""
    declared = Declared(language)
    line = signature(operation, declared)
    records = declared.records()
    said = [operation.description[:DOC].strip()]
    said += [
        f"{key}: {' '.join(one.text.split())[:200]}"
        for key, one in operation.parameters.properties.items()
        if one.text
    ]
    said += [f"{operation.method} {operation.location}"] if operation.method else []
    text = "\n".join(one for one in said if one)
    mark = "# " if language == "python" else "// "
    comment = "\n".join(f"{mark}{line}".rstrip() for line in text.splitlines())
    return "\n\n".join(part for part in (records, f"{line}\n{comment}".rstrip()) if part)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool))


def _quoted(key: str) -> str:
    return key if key.isidentifier() else json.dumps(key)


def _camel(name: str) -> str:
    parts = identifier(name).split("_")
    return "".join(part[:1].upper() + part[1:] for part in parts) or "Record"
