"""A capability that allows less than the one it was made from."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from actors.clock import Clock, SystemClock
from facets.capabilities.capability import Capability, Kind
from facets.capabilities.errors import CapabilityDenied, CapabilityExpired
from facets.capabilities.patterns import check, matches


class Narrowed(Capability):
    """What `Capability.only` returns. Ends with the one it was made from."""

    __slots__ = ("_clock", "_inner", "_left", "_only", "_patterns", "_until")

    def __init__(
        self,
        inner: Capability,
        only: tuple[str, ...],
        max_calls: int | None,
        expires: float | None,
        patterns: Mapping[str, Any],
    ) -> None:
        super().__init__(inner.name, kind=inner.kind, at_home=inner.at_home)
        self.home = inner.home or self.home
        self._inner = inner
        self._only = frozenset(only)
        self._patterns = dict(patterns)
        self._check(only)
        self._left = max_calls
        self._clock: Clock = SystemClock() if self.home is None else self.home.node.host.clock
        self._until = None if expires is None else self._clock.time() + expires
        inner.held_by(self)
        if inner.revoked:
            self.revoke()

    def _check(self, only: tuple[str, ...]) -> None:
        known = self._inner.methods
        for method in only:
            if known and method not in known:
                raise ValueError(f"{self.name} has no {method!r}; there is {', '.join(known)}")
        for name, pattern in self._patterns.items():
            check(pattern)
            for method in only or known:
                signature = self._inner.signature(method)
                if signature is not None and name not in signature.parameters:
                    raise ValueError(f"{self.name}.{method} has no argument {name!r}")

    @property
    def methods(self) -> Mapping[str, Kind]:
        """Those of the other that are allowed here."""
        known = self._inner.methods
        return {name: kind for name, kind in known.items() if not self._only or name in self._only}

    def signature(self, method: str) -> inspect.Signature | None:
        """That of the other."""
        return self._inner.signature(method)

    def text(self, method: str) -> str:
        """That of the other."""
        return self._inner.text(method)

    def notes(self) -> list[str]:
        """What narrows it, in words."""
        said = [f"{name}: only {_shown(pattern)}" for name, pattern in self._patterns.items()]
        if self._left is not None:
            said.append(f"{self._left} more calls")
        if self._until is not None:
            said.append("for a limited time")
        return self._inner.notes() + said

    def lost(self, capability: Capability) -> None:
        """The other was taken back, and this goes with it."""
        self.revoke(f"{capability.name} was revoked")

    def admit(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise unless this method with these arguments is allowed, now."""
        super().admit(method, args, kwargs)
        fields = {"capability": self.name, "method": method}
        if self._until is not None and self._clock.time() >= self._until:
            raise CapabilityExpired(f"{self.name} has expired", **fields)
        if self._left == 0:
            raise CapabilityExpired(f"the calls to {self.name} are used up", **fields)
        if self._only and method not in self._only:
            raise CapabilityDenied(
                f"{self.name} does not allow {method!r}",
                hint=f"it allows {', '.join(sorted(self._only))}",
                **fields,
            )
        if self._patterns:
            self._compare(method, args, kwargs)
        self._inner.admit(method, args, kwargs)
        if self._left is not None:
            self._left -= 1

    def _compare(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = self._named(method, args, kwargs)
        for name, pattern in self._patterns.items():
            if name not in given or not matches(given[name], pattern):
                raise CapabilityDenied(
                    f"{self.name} does not allow this {name!r}",
                    hint=f"it allows {pattern!r}" if isinstance(pattern, str) else None,
                    capability=self.name,
                    method=method,
                    argument=name,
                )

    def _named(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Mapping[str, Any]:
        """Arguments by name. What has no known signature must be given by name: what is given
        by position could be anything."""
        signature = self._inner.signature(method)
        if signature is None:
            if args:
                raise CapabilityDenied(
                    f"{self.name} takes arguments by name only",
                    hint=f"write {', '.join(f'{name}=...' for name in self._patterns)}",
                    capability=self.name,
                    method=method,
                )
            return kwargs
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    async def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the other; `admit` has been asked."""
        return await self._inner.call(method, args, kwargs)

    def stream(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Iterate the other; `admit` has been asked."""
        return self._inner.stream(method, args, kwargs)


def _shown(pattern: Any) -> str:
    return "what its giver allows" if callable(pattern) else repr(pattern)
