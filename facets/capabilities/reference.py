"""Which values are capabilities, and what each stands for."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Hashable, Mapping
from types import AsyncGeneratorType
from typing import Any

from actors.actor import Actor
from actors.code import ClassCode, Start, _base_of
from actors.contract import contract_of
from actors.streams import Stream
from actors.stub import Method, Stub, stream
from facets.capabilities.capability import Capability, Kind
from facets.capabilities.marked import Object, is_marked, signature_of
from facets.capabilities.views import ViewCapability
from storage.views import View


class StubCapability(Capability):
    """An actor or a facet, reached as its caller would reach it."""

    __slots__ = ("stub",)

    def __init__(self, stub: Stub) -> None:
        super().__init__(stub._node.id, at_home=False)
        self.stub = stub

    @property
    def methods(self) -> Mapping[str, Kind]:
        """What is known of it without waking it."""
        running = self.stub._node.activation
        if running is not None:
            return running.body.contract.methods
        cls = self._class()
        return {} if cls is None else contract_of(cls, _base_of(cls)).methods

    def signature(self, method: str) -> inspect.Signature | None:
        """That of the class, if it is trusted code; None for code in an isolate."""
        found = getattr(self._class(), method, None)
        if found is None:
            return None
        signature = signature_of(found)
        if signature is None:
            return None
        return signature.replace(parameters=[*signature.parameters.values()][1:])

    def text(self, method: str) -> str:
        """The docstring of the class or its method."""
        cls = self._class()
        return inspect.getdoc(getattr(cls, method, None) if method else cls) or "" if cls else ""

    def _class(self) -> type[Actor] | None:
        start = self.stub._node.start
        code = start.code if isinstance(start, Start) else None
        return code.cls if isinstance(code, ClassCode) else None

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


class MethodCapability(Capability):
    """One method of an actor, as a function."""

    __slots__ = ("method",)

    def __init__(self, method: Method) -> None:
        super().__init__(f"{method._node.id}.{method._name}", kind="function", at_home=False)
        self.method = method

    @property
    def methods(self) -> Mapping[str, Kind]:
        """Itself; nothing as long as it is not known how it is called."""
        found = self._stub().methods.get(self.method._name)
        return {} if found is None else {"": found}

    def signature(self, method: str) -> inspect.Signature | None:
        """The method's own."""
        del method
        return self._stub().signature(self.method._name)

    def text(self, method: str) -> str:
        """The method's own."""
        del method
        return self._stub().text(self.method._name)

    def _stub(self) -> StubCapability:
        return StubCapability(Stub(self.method._node))

    async def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the actor's method."""
        return await self.method(*args, **kwargs)

    def stream(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Iterate the actor's method."""
        return stream(self.method, args, kwargs)


class StreamCapability(Capability):
    """The rest of a stream: each item goes to whoever asks for it."""

    __slots__ = ("items",)

    def __init__(self, items: Stream) -> None:
        super().__init__(items.name, kind="stream", at_home=False)
        self.items = items

    @property
    def methods(self) -> Mapping[str, Kind]:
        """Itself."""
        return {"": "stream"}

    async def stream(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """The items; closing this closes the stream."""
        try:
            async for item in self.items:
                yield item
        finally:
            await self.items.aclose()


def as_capability(value: object) -> Capability | None:
    """What a value stands for when it is handed to an isolate; None if it is mere data."""
    if isinstance(value, Capability):
        return value
    if isinstance(value, Stub):
        return StubCapability(value)
    if isinstance(value, Stream):
        return StreamCapability(value)
    if isinstance(value, Method):
        return MethodCapability(value)
    if isinstance(value, View):
        return ViewCapability(value)
    return Object(value) if is_marked(value) else None


def is_capability(value: object) -> bool:
    """Whether the value travels by reference."""
    return isinstance(value, _REFERENCES) or is_marked(value)


def identity(value: object) -> Hashable:
    """Equal for what counts as one capability. Keep `value` alive as long as this is kept."""
    return value if isinstance(value, (Stub, Method)) else id(value)


_REFERENCES = (Capability, Stub, Method, Stream, AsyncGeneratorType, View)
