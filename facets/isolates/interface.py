"""What a caller expects of code in an isolate: methods, and the types of their results."""

from __future__ import annotations

import collections.abc
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from actors.contract import Contract, _kind
from actors.errors import NoSuchMethod
from facets.isolates.codec import Record
from facets.isolates.errors import NotTransferable


@dataclass(frozen=True)
class Interface:
    """A class whose async methods the isolate's class must have; None expects nothing.

    Results are converted to the annotated return type, so that a dataclass of the host comes
    out where the guest returned a record.
    """

    cls: type | None = None

    @cached_property
    def _results(self) -> dict[str, Any]:
        return {} if self.cls is None else _annotated(self.cls)

    def check(self, contract: Contract) -> None:
        """Raise `NoSuchMethod` if the code lacks a method of the interface."""
        for name in self._results:
            if name not in contract.methods:
                raise NoSuchMethod(
                    f"{contract.name} in the isolate has no method {name!r}",
                    hint=f"its interface is {self.cls.__qualname__ if self.cls else None}",
                    actor=contract.name,
                    method=name,
                )

    def convert(self, method: str, value: Any) -> Any:
        """The value as the annotated type; `NotTransferable` if it is not one."""
        expected = self._results.get(method, Any)
        if expected is Any:
            return value
        try:
            return msgspec.convert(value, expected, from_attributes=True, dec_hook=_model)
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            raise NotTransferable(
                f"{method}() returned something else: {error}", path=method
            ) from error


def _model(expected: Any, value: object) -> object:
    """The value as a pydantic model; what msgspec does not know besides."""
    validate = getattr(expected, "model_validate", None)
    if validate is not None:
        return validate(_as_dicts(value))
    if isinstance(expected, type) and isinstance(value, expected):
        return value
    raise TypeError(f"{type(value).__name__} is no {expected!r}")


def _as_dicts(value: Any) -> Any:
    """The value with dicts in the place of records."""
    if isinstance(value, Record):
        value = value.asdict()
    if isinstance(value, dict):
        return {key: _as_dicts(one) for key, one in value.items()}
    return [_as_dicts(one) for one in value] if type(value) is list else value


def _annotated(cls: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, member in vars(cls).items():
        if name.startswith("_") or _kind(member) is None:
            continue
        expected = get_type_hints(member).get("return", Any)
        if get_origin(expected) in (collections.abc.AsyncIterator, collections.abc.AsyncGenerator):
            expected = get_args(expected)[0]
        found[name] = expected
    return found
