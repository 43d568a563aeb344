"""The methods of an actor as tools: of another root, of a facet, of code in a sandbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from actors.actor import Actor
from actors.once import KEY
from facets.codemode.functions import Reverter, reverted
from facets.codemode.operation import Operation, call_id, connector_name
from facets.codemode.schema import Schema
from facets.serve.shapes import Shape, described, shapes

ITEMS = 10_000
"""Of a stream that one call may give; a longer one is closed there."""
_REF = "#/$defs/{name}"


class ActorConnector:
    """The methods of `stub` that other actors may call, as `cls` declares them.

    `methods` names those that are tools; without it, all whose arguments JSON can say. Of an async
    generator the result is the list of its items, 10,000 at most. Calls carry the id of the call as
    an idempotency key: a method of one step has one effect, also when a call that the process died
    in is made again. It is asked for first, except for the methods named in `repeatable`. `reverts`
    has what undoes a method, as for a `FunctionConnector`.

    Each call is a call of the actor that the `CodeMode` belongs to: its deadlines, quotas and
    traces hold.
    """

    def __init__(
        self,
        name: str,
        stub: Any,
        cls: type[Actor],
        *,
        methods: Sequence[str] | None = None,
        reverts: dict[str, Reverter] | None = None,
        repeatable: Sequence[str] = (),
    ) -> None:
        self.name = connector_name(name)
        found = shapes(cls)
        named = [one for one in found if one != "facet"] if methods is None else [*methods]
        unknown = {*named, *(reverts or {}), *repeatable} - found.keys()
        if unknown:
            raise ValueError(f"{cls.kind} has no method {sorted(unknown)[0]!r} that is a tool")
        self._operations = [
            self._operation(
                getattr(stub, one), found[one], (reverts or {}).get(one), one in repeatable
            )
            for one in named
        ]

    async def operations(self) -> Sequence[Operation]:
        """One for each method."""
        return self._operations

    async def close(self) -> None:
        """Nothing is held."""

    def _operation(
        self, method: Callable[..., Any], shape: Shape, revert: Reverter | None, repeatable: bool
    ) -> Operation:
        async def call(arguments: dict[str, Any]) -> Any:
            named = shape.bind(arguments)
            if shape.kind == "stream":
                return await _listed(aiter(method(**named)))
            return msgspec.to_builtins(await method(**named, **{KEY: call_id()}))

        arguments, returns = _schemas(shape)
        return Operation(
            self.name, shape.name, call, arguments, returns, description=shape.text,
            revert=None if revert is None else reverted(revert), repeatable=repeatable,
        )  # fmt: skip


async def _listed(items: Any) -> list[Any]:
    found: list[Any] = []
    try:
        async for item in items:
            found.append(msgspec.to_builtins(item))
            if len(found) >= ITEMS:
                break
    finally:
        await items.aclose()
    return found


def _schemas(shape: Shape) -> tuple[Schema, Schema]:
    (arguments, returns), found = msgspec.json.schema_components(
        [shape.arguments, shape.returns], ref_template=_REF, schema_hook=described
    )
    own = found.pop(arguments["$ref"].rpartition("/")[2])
    if shape.kind == "stream":
        returns = {"type": "array", "items": returns}
    return Schema({**own, "$defs": found}), Schema(returns, {"$defs": found})
