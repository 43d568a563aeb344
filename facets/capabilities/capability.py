"""What a capability is: something that may be called, and taken back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol
from weakref import WeakSet

from actors.call import CURRENT
from actors.errors import NoSuchMethod, NotCallable
from actors.values import copy_arguments, pass_by_reference
from facets.capabilities.errors import CapabilityRevoked

if TYPE_CHECKING:
    from inspect import Signature

    from actors.activation import Activation
    from facets.capabilities.running import Use

Kind = Literal["call", "stream"]
Form = Literal["object", "function", "stream"]
"""What it looks like: methods to call, itself to be called, or itself to be iterated, once."""


class Holder(Protocol):
    """Whoever handed a capability on. Compared by identity."""

    def lost(self, capability: Capability) -> None:
        """It was taken back."""


class Capability:
    """A reference to something that others may call, and that shows nothing else of it.

    Travels by reference between actors and into isolates; cannot be stored or pickled.
    `revoke` takes it back from everyone at once. Belongs to the loop of its runtime.
    """

    __slots__ = ("__weakref__", "_holders", "_over", "at_home", "home", "kind", "name")

    def __init__(self, name: str, *, kind: Form = "object", at_home: bool = True) -> None:
        self.name = name
        self.kind = kind
        self.at_home = at_home
        """Its code runs as steps of `home`; False if what it stands for sees to that itself."""
        call = CURRENT.get()
        self.home: Activation | None = None if call is None else call.activation
        """The actor that made it; None if none did: whoever hands it on stands in."""
        self._holders: WeakSet[Any] = WeakSet()
        self._over: CapabilityRevoked | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        pass_by_reference(cls)

    @property
    def methods(self) -> Mapping[str, Kind]:
        """How each method is called; a function has one, "". Empty where that is not known."""
        raise NotImplementedError

    async def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method and return what it returns."""
        raise NotImplementedError

    def stream(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """The items of a streaming method."""
        raise NotImplementedError

    def signature(self, method: str) -> Signature | None:
        """The arguments of a method; None where they are not known."""
        del method
        return None

    def text(self, method: str) -> str:
        """What its author says about a method; with "", about it as a whole."""
        del method
        return ""

    def notes(self) -> list[str]:
        """What narrows it, in words."""
        return []

    def only(
        self,
        *methods: str,
        max_calls: int | None = None,
        expires: float | None = None,
        **arguments: Any,
    ) -> Capability:
        """A capability of its own that allows no more than this one, and less where said.

        Only these methods (all, if none is named), only with arguments that are like the
        patterns given for them by name (`path="/v1/*"`; see `patterns`), at most `max_calls`
        times, for `expires` seconds from now. What is not allowed raises CapabilityDenied, what
        is over CapabilityExpired, and nothing runs. It ends when this one is revoked, and can be
        revoked by itself. ValueError if there is no such method or argument.
        """
        from facets.capabilities.narrowed import Narrowed

        return Narrowed(self, methods, max_calls, expires, arguments)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call a function that this stands for; it runs when it is awaited or iterated."""
        return self._use("", args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or (self.methods and name not in self.methods):
            raise AttributeError(f"{self!r} has no {name!r}")
        return lambda *args, **kwargs: self._use(name, args, kwargs)

    def _use(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Use:
        from facets.capabilities.running import Use, elsewhere

        if elsewhere(self) is not None:
            args, kwargs = copy_arguments(args, kwargs)
        return Use(self, method, args, kwargs)

    def admit(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise if it may not be used so; counts the use. Once for each use, before it.

        After the end of the actor that it belongs to, that is the reason.
        """
        del args, kwargs
        if self.home is not None and self.home.broken is not None:
            raise self.home.reason()
        if self._over is not None:
            raise self.ended(method)

    def ended(self, method: str = "") -> CapabilityRevoked:
        """The error for a use of `method` after it was taken back."""
        message = self._over.message if self._over else f"{self.name} has ended"
        return CapabilityRevoked(message, capability=self.name, method=method)

    def revoke(self, reason: str = "it was revoked") -> None:
        """Take it back from everyone who holds it, and from those it was narrowed for.

        Calls in progress are cancelled, later ones raise CapabilityRevoked. Idempotent; there
        is no way back.
        """
        if self._over is None:
            self._over = CapabilityRevoked(f"{self.name}: {reason}", capability=self.name)
            for holder in list(self._holders):
                holder.lost(self)

    @property
    def revoked(self) -> bool:
        """Whether it was taken back."""
        return self._over is not None

    def held_by(self, holder: Holder) -> None:
        """Tell `holder` when it is taken back; it is not kept alive for that."""
        self._holders.add(holder)

    def __reduce__(self) -> Any:
        raise TypeError(f"{self!r} is a reference; it cannot be stored or pickled")

    def __repr__(self) -> str:
        return f"<capability {self.name}>"


def check_kind(capability: Capability, method: str, kind: Kind) -> None:
    """Raise unless `method` is there and called this way."""
    found = capability.methods.get(method)
    if found == kind:
        return
    shown = f"{capability.name}.{method}" if method else f"{capability.name}()"
    fields = {"actor": capability.name, "method": method}
    if found is not None:
        hint = "use `async for`, not `await`" if found == "stream" else "use `await`"
        raise NotCallable(f"{shown} is a {found}", hint=hint, **fields)
    there = ", ".join(filter(None, capability.methods)) or "no method: call it directly"
    raise NoSuchMethod(f"{shown} is not open to callers", hint=f"there is {there}", **fields)
