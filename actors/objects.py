"""Copying the instances of classes.

How is decided once for each class. An object whose class leaves copying to Python is made without
calling anything of the class: a new object, and a copy of each attribute. A class that says itself
how it is pickled is obeyed, but for exceptions: their constructors seldom take what they keep.
"""

from __future__ import annotations

import copyreg
import dataclasses
import enum
import functools
import sys
import types
from collections.abc import Callable
from typing import Any

from actors.values import ATOMS, KEPT, Copier, Memo, Stuck, attribute, copy_items, copy_pairs, part
from storage.rows import Row

_RUNTIME = ("actors", "storage", "facets")
_IMMUTABLE = frozenset({
    "ipaddress.IPv4Address", "ipaddress.IPv6Address", "ipaddress.IPv4Network",
    "ipaddress.IPv6Network", "ipaddress.IPv4Interface", "ipaddress.IPv6Interface",
    "zoneinfo.ZoneInfo", "re.Pattern",
})  # fmt: skip
"""By name: these modules need not be imported for this."""
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
_MARK = "mark it with @facets.capability, and it travels as a reference"


def plan(kind: type) -> Copier:
    """How to copy instances of exactly this class."""
    if issubclass(kind, (type, enum.Enum, Row)) or _name(kind) in _IMMUTABLE:
        return _as_it_is
    if issubclass(kind, BaseException):
        return _exception(kind)
    if issubclass(kind, _FUNCTIONS):
        return _function
    if hasattr(kind, "__struct_fields__"):
        return _struct(kind)
    if issubclass(kind, tuple) and kind.__reduce_ex__ is object.__reduce_ex__:
        return _tuple(kind)
    if _name(kind) == "numpy.ndarray":
        return _array
    if _is_plain(kind):
        return _plain_or_refused(kind)
    return _reduced


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _as_it_is(value: Any, memo: Memo) -> Any:
    return value


# -- plain objects -------------------------------------------------------------------------------

_OWN_STATE = frozenset({
    object.__getstate__,
    getattr(dataclasses, "_dataclass_getstate", None),
    getattr(dataclasses, "_dataclass_setstate", None),
    None,
})  # fmt: skip


def _is_plain(kind: Any) -> bool:
    """Whether Python's own way of pickling is the class's, and `__new__` wants nothing."""
    return (
        kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__reduce__ is object.__reduce__
        and kind.__new__ is object.__new__
        and kind.__getstate__ in _OWN_STATE
        and getattr(kind, "__setstate__", None) in _OWN_STATE
        and not hasattr(kind, "__getnewargs__")
        and not hasattr(kind, "__getnewargs_ex__")
        and kind not in copyreg.dispatch_table
    )


def _plain_or_refused(kind: type) -> Copier:
    if dataclasses.is_dataclass(kind):
        return _plain(kind)
    if kind.__module__.partition(".")[0] in _RUNTIME:
        return _refuser("it belongs to the runtime")
    try:
        # Only Python knows whether an object has a state in C besides its attributes.
        object.__reduce_ex__(object.__new__(kind), 4)
    except TypeError:
        return _refuser(f"it is a {_name(kind)}")
    except Exception:  # what is not set up yet may fail in any way; it tells nothing
        return _reduced
    return _plain(kind)


def _refuser(why: str) -> Copier:
    def refuse(value: Any, memo: Memo) -> Any:
        raise Stuck("", why)

    return refuse


def _slots(kind: type) -> list[types.MemberDescriptorType]:
    found: list[types.MemberDescriptorType] = []
    for base in kind.__mro__:
        if base is not object and "__slots__" in vars(base):
            found += [one for one in vars(base).values() if type(one) is types.MemberDescriptorType]
    return found


def _plain(kind: type) -> Copier:
    slots = _slots(kind)
    new: Callable[[type], Any] = object.__new__
    store = object.__setattr__

    def copy_attributes(value: Any, memo: Memo) -> Any:
        made = memo[id(value)] = new(kind)
        for name, one in value.__dict__.items():
            store(made, name, one if type(one) in ATOMS else attribute(one, memo, name))
        return made

    def copy_slots(value: Any, memo: Memo) -> Any:
        made = copy_attributes(value, memo) if has_dict else new(kind)
        memo[id(value)] = made
        for slot in slots:
            try:
                one = slot.__get__(value)
            except AttributeError:  # it was never set
                continue
            slot.__set__(made, one if type(one) in ATOMS else attribute(one, memo, slot.__name__))
        return made

    has_dict = kind.__dictoffset__ != 0
    return copy_slots if slots or not has_dict else copy_attributes


def _struct(kind: Any) -> Copier:
    """A msgspec Struct: frozen ones too, and without `__post_init__`, which has run."""
    from msgspec.structs import force_setattr

    names: tuple[str, ...] = kind.__struct_fields__

    def copy_struct(value: Any, memo: Memo) -> Any:
        made: Any
        made = value.__copy__()
        memo[id(value)] = made
        for name in names:
            one = getattr(value, name)
            if type(one) not in ATOMS:
                force_setattr(made, name, attribute(one, memo, name))
        return made

    return copy_struct


def _tuple(kind: type[tuple[Any, ...]]) -> Copier:
    """A named tuple, or another subclass of tuple."""
    names: tuple[str, ...] | None = getattr(kind, "_fields", None)

    def copy_tuple(value: tuple[Any, ...], memo: Memo) -> Any:
        if names is None or len(names) != len(value):
            items = copy_items(value, memo)
        else:
            pairs = zip(names, value, strict=True)
            items = [one if type(one) in ATOMS else attribute(one, memo, n) for n, one in pairs]
        state = getattr(value, "__dict__", None)
        if not state and all(a is b for a, b in zip(items, value, strict=True)):
            return value
        made = memo[id(value)] = tuple.__new__(kind, items)
        if state:
            _set_attributes(made, state, memo)
        return made

    return copy_tuple


def _array(value: Any, memo: Memo) -> Any:
    if value.dtype.hasobject:
        return _reduced(value, memo)
    made = memo[id(value)] = value.copy(order="K")
    return made


# -- functions -----------------------------------------------------------------------------------


def _function(value: Any, memo: Memo) -> Any:
    """One that a module has under its name goes as it is; a bound method with its object."""
    found: Any = sys.modules.get(getattr(value, "__module__", None) or "")
    try:
        found = functools.reduce(getattr, value.__qualname__.split("."), found)
    except AttributeError:
        found = None
    if found is value:
        return value
    bound = getattr(value, "__self__", None)
    if bound is None or isinstance(bound, types.ModuleType):
        raise Stuck("", f"{value.__qualname__} is a function that no module has", _MARK)
    try:
        return getattr(attribute(bound, memo, "__self__"), value.__name__)
    except Stuck as stuck:
        raise Stuck(stuck.path, stuck.why, _MARK) from stuck.__cause__


# -- exceptions ----------------------------------------------------------------------------------


def _exception(kind: type[BaseException]) -> Copier:
    base: Any = next(one for one in kind.__mro__ if one.__module__ == "builtins")
    slots = _slots(kind)

    def copy_exception(value: BaseException, memo: Memo) -> Any:
        _, args, *rest = base.__reduce__(value)
        copied = tuple(attribute(args, memo, "args"))
        made: BaseException = base.__new__(kind, *copied)
        memo[id(value)] = made
        _initialise(base, made, copied)
        for state in rest:
            _set_attributes(made, state or {}, memo)
        for slot in slots:
            if hasattr(value, slot.__name__):
                slot.__set__(made, attribute(slot.__get__(value), memo, slot.__name__))
        made.__cause__ = attribute(value.__cause__, memo, "__cause__")
        made.__context__ = attribute(value.__context__, memo, "__context__")
        made.__suppress_context__ = value.__suppress_context__
        return made.with_traceback(value.__traceback__)

    return copy_exception


def _initialise(base: Any, made: BaseException, args: tuple[Any, ...]) -> None:
    """What `base` keeps outside `args`: errno, the object that could not be decoded, ..."""
    try:
        base.__init__(made, *args)
    except (TypeError, ValueError):
        made.args = args  # its own constructor gave `base` something else


def _set_attributes(made: Any, state: dict[str, Any], memo: Memo) -> None:
    for name, one in state.items():
        object.__setattr__(made, name, attribute(one, memo, name))


# -- classes that say how they are pickled ---------------------------------------------------------


def _reduced(value: Any, memo: Memo) -> Any:
    """What `pickle` would do, with copies in the place of what it would write."""
    kind = type(value)
    reduce = copyreg.dispatch_table.get(kind)
    try:
        parts: Any = reduce(value) if reduce is not None else value.__reduce_ex__(4)
    except RecursionError:
        raise
    except Exception as error:  # code of the value's own class, so anything can come out of it
        raise Stuck("", f"{kind.__name__}: {error}") from error
    if isinstance(parts, str):
        return value  # something that a module has
    memo.setdefault(KEPT, []).append(parts)
    whole: list[Any] = [*parts, *[None] * (6 - len(parts))]
    make, args, state, items, pairs, set_state = whole
    copied = [part(one, memo) for one in args]
    made = memo[id(value)] = _run(kind, make, *copied)
    if state is not None:
        _set_state(made, state, memo, set_state)
    if items is not None:
        for one in copy_items(items, memo):
            _run(kind, made.append if hasattr(made, "append") else made.add, one)
    if pairs is not None:
        _run(kind, copy_pairs, made, pairs, memo)
    return made


def _run(kind: type, function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except (RecursionError, Stuck):
        raise
    except Exception as error:  # see `_reduced`
        raise Stuck("", f"{kind.__name__}: {error}") from error


def _set_state(made: Any, state: Any, memo: Memo, set_state: Any) -> None:
    copied = _copy_state(state, memo)
    if set_state is not None:
        _run(type(made), set_state, made, copied)
    elif hasattr(made, "__setstate__"):
        _run(type(made), made.__setstate__, copied)
    else:
        attributes, slots = copied if isinstance(copied, tuple) else (copied, None)
        for name, one in [*(attributes or {}).items(), *(slots or {}).items()]:
            object.__setattr__(made, name, one)


def _copy_state(state: Any, memo: Memo) -> Any:
    """A copy of what an object keeps, with the names of its attributes in the paths."""
    if type(state) is tuple and len(state) == 2:
        return tuple(_copy_state(one, memo) for one in state)
    if type(state) is not dict or not all(type(name) is str for name in state):
        return part(state, memo)
    return {
        name: _copy_state(one, memo) if name == "__dict__" else attribute(one, memo, name)
        for name, one in state.items()
    }
