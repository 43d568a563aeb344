"""Handle 0: what the runtime itself does for code in an isolate.

A service is a function under a dotted name. Guests call it like any capability, `["call", gid, 0,
"facets.get", ...]`; those that are plain functions they may also call at once, in the middle of
a step (`own` in `steps`), since the same is a plain call for trusted code.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from actors.errors import NotCallable
from facets.capabilities.capability import Capability, Kind, check_kind
from facets.capabilities.marked import finished


class Own(Capability):
    """The services of one isolate. Each sees the guest's call as the current one."""

    __slots__ = ("_ending", "_services")

    def __init__(self) -> None:
        super().__init__("runtime", at_home=False)
        self._services: dict[str, Callable[..., Any]] = {}
        self._ending: set[str] = set()

    def offer(self, name: str, service: Callable[..., Any], *, ends_step: bool = False) -> None:
        """Let the guest call `service`; with `ends_step`, what it wrote is committed before."""
        self._services[name] = service
        if ends_step:
            self._ending.add(name)

    @property
    def methods(self) -> Mapping[str, Kind]:
        """The names of the services, and how each is called."""
        return {name: _kind(service) for name, service in self._services.items()}

    def waits(self, name: object) -> bool:
        """Whether this service may take time: synchronous code in the guest waits for it."""
        service = self._services.get(name) if type(name) is str else None
        return inspect.iscoroutinefunction(service) or inspect.isasyncgenfunction(service)

    def ends_step(self, name: str) -> bool:
        """Whether the guest's open step ends before this service runs."""
        return name in self._ending

    async def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a service."""
        check_kind(self, method, "call")
        return await finished(self._services[method](*args, **kwargs))

    def stream(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """The items of a service that is an async generator."""
        check_kind(self, method, "stream")
        items: AsyncGenerator[Any, None] = self._services[method](*args, **kwargs)
        return items

    def now(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a service that is a plain function; what it returns."""
        check_kind(self, method, "call")
        service = self._services[method]
        if inspect.iscoroutinefunction(service):
            raise NotCallable(f"{method} takes time", hint="await it", actor="runtime")
        return service(*args, **kwargs)


def _kind(service: Callable[..., Any]) -> Kind:
    return "stream" if inspect.isasyncgenfunction(service) else "call"
