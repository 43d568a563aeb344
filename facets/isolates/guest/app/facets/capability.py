"""`@capability`: what code outside may be handed and call; the same decorator exists there."""

import inspect
import types

MARK = "__facets_capability__"


class Marked:
    """A callable that cannot carry a mark itself: a bound method, a partial."""

    def __init__(self, function):
        self.function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, *args, **kwargs):
        return self.function(*args, **kwargs)


def capability(marked):
    """Let others call this: a function, a bound method, or the objects of a class.

    Of a class its public methods can be called. What is marked may leave the isolate as an
    argument or a result; it is a reference there, and dies with the isolate.
    """
    if isinstance(marked, type) or inspect.isfunction(marked):
        setattr(marked, MARK, True)
        return marked
    if not callable(marked):
        raise TypeError(f"{marked!r} is neither a function nor a class")
    return Marked(marked)


def is_marked(value):
    """Whether the value leaves as a reference. An async generator always does."""
    if type(value) is types.AsyncGeneratorType:
        return True
    if inspect.isfunction(value):
        return MARK in value.__dict__
    return isinstance(value, Marked) or MARK in type(value).__dict__


def describe(value):
    """Kind, name and methods of something marked."""
    if type(value) is types.AsyncGeneratorType:
        return {"kind": "stream", "name": _name(value), "methods": {"": "stream"}}
    if inspect.isfunction(value) or isinstance(value, Marked):
        function = getattr(value, "function", value)
        return {"kind": "function", "name": _name(value), "methods": {"": _kind(function)}}
    methods = {}
    for name in dir(type(value)):
        member = inspect.getattr_static(type(value), name)
        if name[:1] != "_" and inspect.isfunction(member):
            methods[name] = _kind(member)
    return {"kind": "object", "name": _name(type(value)), "methods": methods}


def _name(value):
    return str(value.__name__)[:200]


def _kind(function):
    return "stream" if inspect.isasyncgenfunction(function) else "call"
