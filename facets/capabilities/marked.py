"""`@capability`: functions and objects of trusted code that others may call."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar, overload
from weakref import WeakValueDictionary

import facets.capabilities.remote as _remote  # noqa: F401 - how they work in other processes
from actors.values import OWNER, Memo, copied_by
from facets.capabilities.capability import Capability, Kind, check_kind

MARK = "__facets_capability__"
T = TypeVar("T", bound=type)


class Function(Capability):
    """A function that others may call; code of its own actor calls it as it always did."""

    __slots__ = ("__dict__", "__wrapped__", "_kind")

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        super().__init__(
            name or str(getattr(function, "__name__", type(function).__name__)), kind="function"
        )
        self.__wrapped__ = function
        self.__doc__ = function.__doc__
        self._kind: Kind = "stream" if inspect.isasyncgenfunction(function) else "call"

    @property
    def methods(self) -> Mapping[str, Kind]:
        """Itself."""
        return {"": self._kind}

    def signature(self, method: str) -> inspect.Signature | None:
        """The function's own."""
        return signature_of(self.__wrapped__)

    def text(self, method: str) -> str:
        """Its docstring."""
        return inspect.getdoc(self.__wrapped__) or ""

    async def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function; a plain one too."""
        check_kind(self, method, "call")
        return await finished(self.__wrapped__(*args, **kwargs))

    def stream(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Iterate the function."""
        check_kind(self, method, "stream")
        return self.__wrapped__(*args, **kwargs)  # type: ignore[no-any-return]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself; from another actor as a use, to be awaited or iterated."""
        from facets.capabilities.running import elsewhere

        if elsewhere(self) is not None:
            return self._use("", args, kwargs)
        return self.__wrapped__(*args, **kwargs)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = f"{owner.__name__}.{name}"

    def __get__(self, instance: object, owner: type | None = None) -> Function:
        """As a method: one capability for each object, the same at each look."""
        if instance is None:
            return self
        kept = instance.__dict__
        found = kept.get(self.__wrapped__.__name__)
        if not isinstance(found, Function):
            bound = self.__wrapped__.__get__(instance, owner)
            found = kept[self.__wrapped__.__name__] = Function(bound, self.name)
        return found


class Object(Capability):
    """An object of a class that `@capability` marks."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        super().__init__(type(value).__name__)
        self.value = value

    @property
    def methods(self) -> Mapping[str, Kind]:
        """The public methods of its class."""
        return getattr(type(self.value), MARK)  # type: ignore[no-any-return]

    def signature(self, method: str) -> inspect.Signature | None:
        """The method's own."""
        return signature_of(getattr(self.value, method)) if method in self.methods else None

    def text(self, method: str) -> str:
        """The docstring of the method, or of the class."""
        found = getattr(type(self.value), method) if method else type(self.value)
        return inspect.getdoc(found) or ""

    async def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the object's method; a plain one too."""
        check_kind(self, method, "call")
        return await finished(getattr(self.value, method)(*args, **kwargs))

    def stream(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Iterate the object's method."""
        check_kind(self, method, "stream")
        return getattr(self.value, method)(*args, **kwargs)  # type: ignore[no-any-return]


_lent: WeakValueDictionary[int, Object] = WeakValueDictionary()
"""By the id of its object, which it keeps alive: one object is one capability."""


def _lend_object(value: object, memo: Memo) -> Object:
    """What arrives at another actor in the place of an object of a marked class."""
    made = _lent.get(id(value))
    if made is None:
        made = _lent[id(value)] = Object(value)
        made.home = memo.get(OWNER, made.home)
    memo[id(value)] = made
    return made


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """The arguments of a function; None for one that does not say."""
    try:
        return inspect.signature(function, eval_str=True)
    except NameError:  # an annotation that names what is not there at run time
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


async def finished(result: Any) -> Any:
    """The result, awaited where it must be."""
    return await result if inspect.isawaitable(result) else result


@overload
def capability(marked: T) -> T: ...  # type: ignore[overload-overlap]
@overload
def capability(marked: Callable[..., Any]) -> Function: ...
@overload
def capability(marked: object) -> Capability: ...
def capability(marked: Any) -> Any:
    """Let others call this: a function, a bound method, or the objects of a class.

    Of a class its public methods can be called, async, plain, and async generators as streams;
    a subclass must be marked again. What is marked travels by reference to other actors and
    into isolates, as an argument, a result, in `env` and in `props`. Its code runs as code of
    the actor that made it, in steps of that actor, even when an isolate calls it; arguments
    from an isolate are copies. Capabilities are compared by identity.

    Of what is one already, a stub or an object of a marked class, it makes the Capability that
    can be narrowed (`only`) and revoked.
    """
    if isinstance(marked, type):
        setattr(marked, MARK, MappingProxyType(_open(marked)))
        copied_by(marked, _lend_object)
        return marked
    from facets.capabilities.reference import as_capability

    found = as_capability(marked)
    if found is not None:
        return found
    if not callable(marked):
        raise TypeError(f"{marked!r} is neither a function nor a class, nor a capability")
    return Function(marked)


def is_marked(value: object) -> bool:
    """Whether this is an object of a marked class."""
    return MARK in type(value).__dict__


def _open(cls: type) -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        if name.startswith("_") or not inspect.isfunction(member):
            continue
        found[name] = "stream" if inspect.isasyncgenfunction(member) else "call"
    return found
