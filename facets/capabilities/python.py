"""Declarations in Python."""

from __future__ import annotations

import inspect
from textwrap import indent
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from facets.capabilities.capability import Capability, Kind
from facets.capabilities.shapes import Named, fields, members, streamed

_INDENT = "    "
_LONG = 200


class Python:
    """Stubs: `async def` with `...` for a body."""

    def __init__(self) -> None:
        self._named = Named()

    def function(self, name: str, capability: Capability) -> str:
        """One function."""
        return self._method(
            _identifier(name), capability, "", capability.methods.get("", "call"), None
        )

    def stream(self, name: str) -> str:
        """Something to iterate, once."""
        return f"{_identifier(name)}: AsyncIterator[Any]"

    def object(self, name: str, capability: Capability) -> str:
        """A class without a way to make one, and the name it has in `env`."""
        methods = capability.methods.items()
        parts = [_doc([capability.text(""), *capability.notes()])]
        parts += [self._method(one, capability, one, kind, "self") for one, kind in methods]
        if not methods:
            parts.append("...  # which methods there are is known when it runs")
        body = "\n\n".join(part for part in parts if part)
        return f"class {_identifier(name)}:\n{indent(body, _INDENT)}"

    def _method(
        self, name: str, capability: Capability, method: str, kind: Kind, first: str | None
    ) -> str:
        signature = capability.signature(method)
        doc = _doc([capability.text(method), *([] if method else capability.notes())])
        body = f"\n{indent(doc, _INDENT)}\n{_INDENT}..." if doc else " ..."
        arguments = self._arguments(signature, first)
        return f"async def {name}({arguments}){self._returns(signature, kind)}:{body}"

    def _arguments(self, signature: inspect.Signature | None, first: str | None) -> str:
        if signature is None:
            return ", ".join([*([first] if first else []), "*args", "**kwargs"])
        shown = [one.replace(annotation=inspect.Parameter.empty) for one in _parameters(signature)]
        texts = [str(one) for one in shown]
        for i, one in enumerate(_parameters(signature)):
            if one.annotation is not inspect.Parameter.empty:
                name, equals, default = texts[i].partition("=")
                texts[i] = f"{name}: {self.type(one.annotation)}"
                texts[i] += f" = {default}" if equals else ""
        named = [i for i, one in enumerate(shown) if one.kind is one.KEYWORD_ONLY]
        if named and not any(one.kind is one.VAR_POSITIONAL for one in shown):
            texts.insert(named[0], "*")
        return ", ".join([*([first] if first else []), *texts])

    def _returns(self, signature: inspect.Signature | None, kind: Kind) -> str:
        found = inspect.Signature.empty if signature is None else signature.return_annotation
        if kind == "stream":
            return f" -> AsyncIterator[{self.type(streamed(found))}]"
        return "" if found is inspect.Signature.empty else f" -> {self.type(found)}"

    def data(self, name: str, value: Any) -> str:
        """A name, its type and, if it is short, its value."""
        text = repr(value)
        shown = f" = {text}" if len(text) <= _LONG else ""
        return f"{_identifier(name)}: {type(value).__name__}{shown}"

    def type(self, found: Any) -> str:
        """The text of an annotation."""
        if isinstance(found, str):
            return found
        if found is None or found is NoneType:
            return "None"
        origin, args = get_origin(found), get_args(found)
        if origin in (Union, UnionType):
            return " | ".join(self.type(one) for one in args)
        if origin is Literal:
            return f"Literal[{', '.join(map(repr, args))}]"
        if origin is not None:
            inner = ", ".join("..." if one is Ellipsis else self._argument(one) for one in args)
            return f"{_name(origin)}[{inner}]"
        if fields(found) is not None or members(found) is not None:
            return self._named.add(found)
        return _name(found)

    def _argument(self, found: Any) -> str:
        if isinstance(found, list):
            return f"[{', '.join(self.type(one) for one in found)}]"
        return self.type(found)

    def types(self) -> str:
        """Classes with the fields that records have, in the order they were met."""
        parts: list[str] = []
        while len(parts) < len(self._named.found):
            name, kind = [*self._named.found.items()][len(parts)]
            values = members(kind)
            if values is not None:
                parts.append(f"{name} = Literal[{', '.join(map(repr, values))}]")
                continue
            lines = [f"{key}: {self.type(one)}" for key, one in (fields(kind) or {}).items()]
            parts.append(f"class {name}:\n{indent(chr(10).join(lines) or '...', _INDENT)}")
        return "\n\n".join(parts)


def _parameters(signature: inspect.Signature) -> list[inspect.Parameter]:
    return [*signature.parameters.values()]


def _name(found: Any) -> str:
    name = getattr(found, "__name__", None) or str(found)
    return str(name).rpartition(".")[2] if isinstance(found, type) else str(name)


def _identifier(name: str) -> str:
    cleaned = "".join(char if char.isalnum() else "_" for char in name)
    return cleaned if cleaned.isidentifier() else f"_{cleaned}"


def _doc(lines: list[str]) -> str:
    text = "\n".join(line for line in lines if line).replace('"""', "'''").replace("\\", "\\\\")
    if not text:
        return ""
    return f'"""{text}\n"""' if "\n" in text else f'"""{text}"""'
