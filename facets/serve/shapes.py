"""What a method takes and returns, read from its annotations.

Arguments come as a JSON object, by name, or as an array, by position. They are converted to what
the annotations say before the method is called, and what does not fit is named by its path.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from types import SimpleNamespace
from typing import Any, get_type_hints

import msgspec

from actors.actor import Actor
from actors.code import _base_of
from actors.contract import Kind, contract_of
from actors.once import KEY
from facets.serve.errors import BadArguments, NotServed


@dataclass(frozen=True)
class Shape:
    """One method that requests may call."""

    name: str
    kind: Kind
    text: str
    """Its docstring."""
    names: tuple[str, ...]
    """Of its parameters, in order."""
    arguments: type[msgspec.Struct]
    """Its parameters as one type."""
    returns: Any
    """What it returns, or yields; Any if it does not say."""

    def bind(self, body: object, *, strict: bool = True) -> dict[str, Any]:
        """The arguments in a request's body, by name; without `strict`, from text."""
        named = self._named(body)
        try:
            read = msgspec.convert(named, self.arguments, strict=strict, dec_hook=_made)
        except (msgspec.ValidationError, TypeError, ValueError) as error:
            raise BadArguments(
                f"{self.name}: {error}", hint=f"it takes ({', '.join(self.names)})"
            ) from error
        return {name: getattr(read, name) for name in named}

    def _named(self, body: object) -> dict[str, Any]:
        if body is None:
            return {}
        if isinstance(body, dict):
            return body
        if not isinstance(body, list):
            raise BadArguments(
                f"{self.name}: the arguments are a JSON object, by name, or an array, by position"
            )
        if len(body) > len(self.names):
            raise BadArguments(f"{self.name} takes {len(self.names)} arguments, not {len(body)}")
        return dict(zip(self.names, body, strict=False))


def shape_of(cls: type[Actor], method: str) -> Shape:
    """The shape of an open method; `NotServed` for any other name."""
    kind = contract_of(cls, _base_of(cls)).methods.get(method)
    if kind is None or method.startswith("_"):
        raise NotServed(f"{cls.kind} has no method {method!r} that is open to requests")
    known: Any = cls  # a class is hashable, whatever its instances are
    return _shape(known, method, kind)


def shapes(cls: type[Actor]) -> dict[str, Shape]:
    """All methods of a class that requests may call."""
    found: dict[str, Shape] = {}
    for name in contract_of(cls, _base_of(cls)).methods:
        try:
            found[name] = shape_of(cls, name)
        except NotServed:
            continue
    return found


@lru_cache(maxsize=4096)
def _shape(cls: Any, method: str, kind: Kind) -> Shape:
    function = inspect.unwrap(getattr(cls, method))
    fields: list[Any] = []
    for one in _parameters(cls, function):
        hint = _hint(function, one.name)
        required = one.default is one.empty
        fields.append(
            (one.name, hint) if required else (one.name, hint | msgspec.UnsetType, msgspec.UNSET)
        )
    try:
        arguments = msgspec.defstruct(
            f"{cls.kind}_{method}", fields, kw_only=True, forbid_unknown_fields=True
        )
        msgspec.json.schema(arguments, schema_hook=described)
    except (TypeError, NameError, ValueError) as error:
        raise NotServed(
            f"{cls.kind}.{method} takes what JSON cannot say: {error}",
            hint="annotate it with plain types, dataclasses, msgspec structs or pydantic models",
        ) from error
    return Shape(
        name=method,
        kind=kind,
        text=inspect.getdoc(function) or "",
        names=tuple(one[0] for one in fields),
        arguments=arguments,
        returns=_returned(function, kind),
    )


def _parameters(cls: type[Actor], function: Callable[..., Any]) -> list[inspect.Parameter]:
    found = list(inspect.signature(function).parameters.values())[1:]
    for one in found:
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
            raise NotServed(
                f"{cls.kind}.{function.__name__} takes {one}, which has no name to call it by",
                hint="give it parameters with names",
            )
        if one.name == KEY:
            raise NotServed(f"{cls.kind}.{function.__name__} takes {KEY}, which is reserved")
    return found


def _hint(function: Callable[..., Any], name: str) -> Any:
    """The annotation of one parameter, or of "return"; Any without one."""
    known: Mapping[str, Any] = getattr(function, "__annotations__", {})
    if name not in known:
        return Any
    alone = SimpleNamespace(__annotations__={name: known[name]})
    try:
        return get_type_hints(
            alone, getattr(function, "__globals__", {}), None, include_extras=True
        )[name]
    except (NameError, TypeError, KeyError) as error:
        if name == "return":
            return Any
        raise NotServed(
            f"nobody can tell what {function.__qualname__} takes as {name}: {error}",
            hint="import what its annotations name when the module is loaded",
        ) from error


def _returned(function: Callable[..., Any], kind: Kind) -> Any:
    hint = _hint(function, "return")
    if kind == "stream":
        items = getattr(hint, "__args__", ())
        hint = items[0] if items else Any
    try:
        msgspec.json.schema(hint, schema_hook=described)
    except (TypeError, NameError, ValueError):
        return Any
    return hint


def described(cls: type) -> dict[str, Any]:
    """The JSON schema of a type that msgspec does not know; TypeError if it has none."""
    if hasattr(cls, "model_json_schema"):
        found: dict[str, Any] = cls.model_json_schema()
        return found
    if issubclass(cls, PurePath):
        return {"type": "string"}
    if cls is object:
        return {}
    raise TypeError(f"{cls.__qualname__} is no type that JSON has")


def _made(cls: type, value: Any) -> Any:
    """An object of a type that msgspec does not know."""
    if hasattr(cls, "model_validate"):
        return cls.model_validate(value)
    if issubclass(cls, PurePath):
        return cls(value)
    if cls is object:
        return value
    raise TypeError(f"{cls.__qualname__} is no type that JSON has")


def converted(value: object, returns: Any) -> Any:
    """A result as what its method says that it returns, for a client that knows the class."""
    return msgspec.convert(value, returns, dec_hook=_made)
