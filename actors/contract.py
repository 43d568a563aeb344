"""What callers may call on a class, and what the runtime itself calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

from actors.errors import NoSuchMethod, NotCallable

Kind = Literal["call", "stream"]
Durability = Literal["local", "replicated"]
"""Where a commit must be before anything that depends on it leaves the host."""
HOOKS = frozenset({
    "on_start", "on_stop", "on_facet_broken", "on_facet_due", "on_quota", "on_socket",
    "on_socket_message", "on_socket_close",
})  # fmt: skip
"""Methods of an actor that only its runtime calls."""


@dataclass(frozen=True, slots=True)
class Contract:
    """The open methods of some code, its migrations and the hooks it defines."""

    name: str
    methods: Mapping[str, Kind]
    migrations: tuple[str, ...] = ()
    hooks: frozenset[str] = frozenset()
    closed: Mapping[str, str] = field(default_factory=dict)
    """Public names that are not callable, each with the reason."""
    durability: Durability | None = None
    """What the class chose; None for what its runtime says."""
    mailbox: int | None = None
    """Calls that an actor may have in progress, if the class says so."""
    plain: frozenset[str] = field(init=False)
    """Methods that are called and not iterated."""

    def __post_init__(self) -> None:
        plain = frozenset(name for name, kind in self.methods.items() if kind == "call")
        object.__setattr__(self, "plain", plain)

    def check(self, method: str, kind: Kind) -> None:
        """Pass if `method` may be called in this way; else a `NotCallable` or `NoSuchMethod`."""
        found = self.methods.get(method)
        if found == kind:
            return
        fields = {"actor": self.name, "method": method}
        if found == "stream":
            raise NotCallable(
                f"{self.name}.{method} is a stream", hint="use `async for`, not `await`", **fields
            )
        if found == "call":
            raise NotCallable(
                f"{self.name}.{method} is not a stream",
                hint="use `await`, not `async for`",
                **fields,
            )
        if method.startswith("_"):
            raise NotCallable(
                f"{self.name}.{method} is private",
                hint="names with _ are never called from outside",
                **fields,
            )
        if method in self.closed:
            raise NotCallable(f"{self.name}.{method} {self.closed[method]}", **fields)
        close = get_close_matches(method, self.methods)
        hint = (
            f"did you mean {close[0]}?"
            if close
            else f"there are: {', '.join(self.methods) or 'none'}"
        )
        raise NoSuchMethod(f"{self.name} has no method {method!r}", hint=hint, **fields)


def contract_of(cls: type, base: type) -> Contract:
    """The contract of a class; nothing that `base` defines is part of it, nor what `_inner` of the
    class names: async methods that only its own code calls, wherever they are overridden."""
    cached = cls.__dict__.get("_contract")
    if isinstance(cached, Contract):
        return cached
    inner: frozenset[str] = getattr(cls, "_inner", frozenset())
    methods: dict[str, Kind] = {}
    closed: dict[str, str] = {}
    hooks = frozenset(name for name in HOOKS if getattr(cls, name) is not getattr(base, name, None))
    for name in dir(cls):
        if name.startswith("_") or name in HOOKS:
            continue
        if hasattr(base, name) or name in inner:
            closed[name] = "belongs to the actor itself"
            continue
        member = inspect.getattr_static(cls, name)
        kind = _kind(member)
        if kind is not None:
            methods[name] = kind
        else:
            closed[name] = _why_closed(member)
    durability = getattr(cls, "durability", None)
    contract = Contract(
        cls.__qualname__,
        methods,
        tuple(_migrations(cls)),
        hooks,
        closed,
        durability,
        getattr(cls, "mailbox", None),
    )
    cls._contract = contract  # type: ignore[attr-defined]
    return contract


def parameters(cls: type | None, method: str) -> list[str]:
    """The names of what a method takes by position, as far as that is known."""
    try:
        found = inspect.signature(getattr(cls, method)).parameters.values()
    except (AttributeError, TypeError, ValueError):
        return []
    return [one.name for one in found if one.kind is not one.VAR_POSITIONAL][1:]


def _kind(member: object) -> Kind | None:
    if inspect.iscoroutinefunction(member):
        return "call"
    return "stream" if inspect.isasyncgenfunction(member) else None


def _why_closed(member: object) -> str:
    if callable(member) or isinstance(member, (staticmethod, classmethod)):
        return "is not `async def`, so it is not open to callers"
    return "is data, not a method; give the actor an `async def` that returns it"


def _migrations(cls: type) -> list[str]:
    migrations: Any = getattr(cls, "migrations", ())
    if isinstance(migrations, str) or not all(isinstance(one, str) for one in migrations):
        raise TypeError(f"{cls.__qualname__}.migrations must be a sequence of SQL strings")
    return list(migrations)


AnyMethod = Callable[..., Any]
