"""Declarations in TypeScript."""

from __future__ import annotations

import datetime
import inspect
import json
from textwrap import indent
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from facets.capabilities.capability import Capability, Kind
from facets.capabilities.shapes import ARRAYS, MAPPINGS, Named, fields, members, streamed

_INDENT = "  "
_LONG = 200
_PLAIN: dict[Any, str] = {
    str: "string", int: "number", float: "number", bool: "boolean", bytes: "Uint8Array",
    bytearray: "Uint8Array", datetime.datetime: "Date", list: "unknown[]", tuple: "unknown[]",
    dict: "Record<string, unknown>",
}  # fmt: skip


class TypeScript:
    """`declare` statements; every call is a promise or an async iterable."""

    def __init__(self) -> None:
        self._named = Named()

    def function(self, name: str, capability: Capability) -> str:
        """One function."""
        declared = self._method(capability, "", capability.methods.get("", "call"))
        doc = _doc([capability.text(""), *capability.notes()])
        return f"{doc}declare function {_identifier(name)}{declared};"

    def stream(self, name: str) -> str:
        """Something to iterate, once."""
        return f"declare const {_identifier(name)}: AsyncIterable<unknown>;"

    def object(self, name: str, capability: Capability) -> str:
        """A constant with methods."""
        lines = [
            f"{_doc([capability.text(method)])}{method}{self._method(capability, method, kind)};"
            for method, kind in capability.methods.items()
        ] or ["[method: string]: (...args: unknown[]) => Promise<unknown>;"]
        doc = _doc([capability.text(""), *capability.notes()])
        body = indent("\n".join(lines), _INDENT)
        return f"{doc}declare const {_identifier(name)}: {{\n{body}\n}};"

    def _method(self, capability: Capability, method: str, kind: Kind) -> str:
        signature = capability.signature(method)
        if signature is None:
            returns = "AsyncIterable" if kind == "stream" else "Promise"
            return f"(...args: unknown[]): {returns}<unknown>"
        texts = [text for one in signature.parameters.values() if (text := self._argument(one))]
        found = signature.return_annotation
        if kind == "stream":
            returns = f"AsyncIterable<{self.type(streamed(found))}>"
        else:
            returns = f"Promise<{'void' if found is None else self.type(found)}>"
        return f"({', '.join(texts)}): {returns}"

    def _argument(self, one: inspect.Parameter) -> str:
        """Arguments are given by position; those that cannot be, and need not, are left out."""
        optional = one.default is not one.empty
        if one.kind is one.VAR_KEYWORD or (one.kind is one.KEYWORD_ONLY and optional):
            return ""
        if one.kind is one.VAR_POSITIONAL:
            return f"...{one.name}: {self.type(one.annotation)}[]"
        return f"{one.name}{'?' if optional else ''}: {self.type(one.annotation)}"

    def data(self, name: str, value: Any) -> str:
        """A constant, with its value if that is short."""
        text = json.dumps(value, default=str)
        note = f" // {text}" if len(text) <= _LONG else ""
        return f"declare const {_identifier(name)}: {self.type(type(value))};{note}"

    def type(self, found: Any) -> str:
        """The type that a value of this annotation has inside."""
        if found is None or found is NoneType:
            return "null"
        if found in _PLAIN:
            return _PLAIN[found]
        origin, args = get_origin(found), get_args(found)
        if origin in (Union, UnionType):
            return " | ".join(self.type(one) for one in args)
        if origin is Literal:
            return " | ".join(json.dumps(one) for one in args)
        if origin is tuple:
            return self._tuple(args)
        if origin in ARRAYS:
            inner = self.type(args[0])
            return f"({inner})[]" if "|" in inner else f"{inner}[]"
        if origin in MAPPINGS:
            return f"Record<string, {self.type(args[1])}>"
        if fields(found) is not None or members(found) is not None:
            return self._named.add(found)
        return "unknown"

    def _tuple(self, args: tuple[Any, ...]) -> str:
        if len(args) == 2 and args[1] is Ellipsis:
            return f"{self.type(args[0])}[]"
        return f"[{', '.join(self.type(one) for one in args)}]"

    def types(self) -> str:
        """Interfaces with the fields that records have, in the order they were met."""
        parts: list[str] = []
        while len(parts) < len(self._named.found):
            name, kind = [*self._named.found.items()][len(parts)]
            values = members(kind)
            if values is not None:
                said = " | ".join(json.dumps(one, default=str) for one in values)
                parts.append(f"type {name} = {said};")
                continue
            lines = [f"{key}: {self.type(one)};" for key, one in (fields(kind) or {}).items()]
            parts.append(f"interface {name} {{\n{indent(chr(10).join(lines), _INDENT)}\n}}")
        return "\n\n".join(parts)


def _identifier(name: str) -> str:
    cleaned = "".join(char if char.isalnum() or char in "_$" else "_" for char in name)
    return f"_{cleaned}" if cleaned[:1].isdigit() else cleaned


def _doc(lines: list[str]) -> str:
    text = "\n".join(line for line in lines if line).replace("*/", "* /")
    if not text:
        return ""
    if "\n" not in text:
        return f"/** {text} */\n"
    return "/**\n" + "\n".join(f" * {line}".rstrip() for line in text.split("\n")) + "\n */\n"
