"""Which values are capabilities, and what each stands for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Hashable, Mapping
from typing import Any

from actors.stub import Method, Stub, stream
from facets.capabilities.capability import Capability, Kind
from facets.capabilities.marked import Object, is_marked


class StubCapability(Capability):
    """An actor or a facet, reached as its caller would reach it."""

    __slots__ = ("stub",)

    at_home = False

    def __init__(self, stub: Stub) -> None:
        super().__init__(stub._node.id)
        self.stub = stub

    @property
    def methods(self) -> Mapping[str, Kind]:
        """What is known of it without waking it."""
        running = self.stub._node.activation
        return {} if running is None else running.methods

    async def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the actor."""
        return await self._method(method)(*args, **kwargs)

    def stream(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Iterate the actor's method."""
        return stream(self._method(method), args, kwargs)

    def _method(self, name: str) -> Method:
        # Not by attribute: a stub has more of them than its actor has methods.
        return Method(self.stub._node, self.stub._incarnation, name)


def as_capability(value: object) -> Capability | None:
    """What a value stands for when it is handed to an isolate; None if it is mere data."""
    if isinstance(value, Capability):
        return value
    if isinstance(value, Stub):
        return StubCapability(value)
    return Object(value) if is_marked(value) else None


def is_capability(value: object) -> bool:
    """Whether the value travels by reference."""
    return isinstance(value, (Capability, Stub)) or is_marked(value)


def identity(value: object) -> Hashable:
    """Equal for what counts as one capability. Keep `value` alive as long as this is kept."""
    return value if isinstance(value, Stub) else id(value)
