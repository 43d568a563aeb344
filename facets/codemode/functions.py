"""Python functions as tools."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from facets.capabilities.marked import finished, signature_of
from facets.codemode.operation import Operation, Revert, connector_name
from facets.codemode.schema import Schema

_REF = "#/$defs/{name}"
Reverter = Callable[[dict[str, Any], Any], Any]
"""Undoes a call, given its arguments and its result; async or plain."""


class FunctionConnector:
    """Functions, async and plain, as tools of one connector.

    They run as code of the actor whose `CodeMode` it is, in its steps. Docstrings and annotations
    are what a model sees. With `local`, none of them changes anything but that actor's database:
    what one writes there is in one commit with the log of its call, if it does not wait, and is
    undone if it raises. Otherwise a function runs once the log says durably that it is about to.
    `facets.codemode.call_id()` is the same within one whenever a call is made again.

    `reverts` has, by the name of a function, what undoes it: called with the arguments and the
    result of a call. `repeatable` names functions that may run again when a crash left it open
    whether they did.
    """

    def __init__(
        self,
        name: str,
        functions: Sequence[Callable[..., Any]] | Mapping[str, Callable[..., Any]],
        *,
        reverts: Mapping[str, Reverter] | None = None,
        repeatable: Sequence[str] = (),
        local: bool = False,
    ) -> None:
        self._local = local
        self.name = connector_name(name)
        named = functions if isinstance(functions, Mapping) else {_name(f): f for f in functions}
        unknown = {*(reverts or {}), *repeatable} - named.keys()
        if unknown:
            raise ValueError(f"{name} has no function {sorted(unknown)[0]!r}")
        self._operations = [
            self._operation(key, function, (reverts or {}).get(key), key in repeatable)
            for key, function in named.items()
        ]

    async def operations(self) -> Sequence[Operation]:
        """One for each function."""
        return self._operations

    async def close(self) -> None:
        """Nothing is held."""

    def _operation(
        self, name: str, function: Callable[..., Any], revert: Any, repeatable: bool
    ) -> Operation:
        parameters, returns = _schemas(function)

        async def call(arguments: dict[str, Any]) -> Any:
            return msgspec.to_builtins(await finished(function(**arguments)))

        return Operation(
            connector=self.name, name=connector_name(name), call=call, parameters=parameters,
            returns=returns, description=inspect.getdoc(function) or "",
            revert=None if revert is None else reverted(revert), repeatable=repeatable,
            local=self._local,
        )  # fmt: skip


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def reverted(function: Reverter) -> Revert:
    """What undoes a call, as an operation has it."""

    async def revert(arguments: dict[str, Any], result: Any) -> None:
        await finished(function(arguments, result))

    return revert


def _schemas(function: Callable[..., Any]) -> tuple[Schema, Schema]:
    """Of its arguments and of its result; what has no schema allows anything."""
    signature = signature_of(function)
    if signature is None:
        return Schema({"type": "object"}), Schema({})
    properties, required = {}, []
    definitions: dict[str, Any] = {}
    for one in signature.parameters.values():
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
            raise ValueError(f"{_name(function)}: a tool takes its arguments by name, not {one}")
        properties[one.name] = _schema(one.annotation, definitions)
        if one.default is one.empty:
            required.append(one.name)
        elif isinstance(one.default, (str, int, float, bool)):
            properties[one.name] = {**properties[one.name], "default": one.default}
    parameters = {
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": False, "$defs": definitions,
    }  # fmt: skip
    found: dict[str, Any] = {}
    returns = _schema(signature.return_annotation, found)
    return Schema(parameters), Schema(returns, {"$defs": found})


def _schema(annotation: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if annotation in (inspect.Parameter.empty, Any):
        return {}
    try:
        (schema,), found = msgspec.json.schema_components([annotation], ref_template=_REF)
    except TypeError:  # it has no form in JSON
        return {}
    definitions |= found
    return schema
