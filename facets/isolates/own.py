"""Handle 0: what the runtime itself does for code in an isolate.

A service is a function under a dotted name. Guests call it like any capability, `["call", gid, 0,
"facets.get", ...]`; those that are plain functions they may also call at once, in the middle of
a step (`own` in `steps`), since the same is a plain call for trusted code. Synchronous code may
also wait for some that take time (`waiting`).
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

    __slots__ = ("_ending", "_methods", "_services", "_waited")

    def __init__(self) -> None:
        super().__init__("runtime", at_home=False)
        self._services: dict[str, Callable[..., Any]] = {}
        self._methods: dict[str, Kind] = {}
        self._ending: set[str] = set()
        self._waited: set[str] = set()

    def offer(
        self,
        name: str,
        service: Callable[..., Any],
        *,
        ends_step: bool = False,
        waits: bool = False,
    ) -> None:
        """Let the guest call `service`, or iterate it if it is an async generator.

        With `ends_step`, what the guest wrote is committed before. With `waits`, its synchronous
        code may wait for a service that takes time, which ends the step as well.
        """
        self._services[name] = service
        self._methods[name] = "stream" if inspect.isasyncgenfunction(service) else "call"
        if ends_step or waits:
            self._ending.add(name)
        if waits:
            self._waited.add(name)

    @property
    def methods(self) -> Mapping[str, Kind]:
        """The names of the services."""
        return self._methods

    def ends_step(self, name: str) -> bool:
        """Whether the guest's open step ends before this service runs."""
        return name in self._ending

    def waits(self, name: str) -> bool:
        """Whether synchronous code may wait for it."""
        return name in self._waited

    async def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a service."""
        check_kind(self, method, "call")
        return await finished(self._services[method](*args, **kwargs))

    def stream(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Run a service that has items."""
        check_kind(self, method, "stream")
        return self._services[method](*args, **kwargs)  # type: ignore[no-any-return]

    def now(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a service that is a plain function; what it returns."""
        check_kind(self, method, "call")
        service = self._services[method]
        if inspect.iscoroutinefunction(service):
            raise NotCallable(f"{method} takes time", hint="await it", actor="runtime")
        return service(*args, **kwargs)
