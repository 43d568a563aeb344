"""`self.facets`: child actors whose classes are of the same source, each in its own isolate."""

import sys
from typing import NamedTuple

from isolate.capabilities import Capability, Reply
from isolate.storage import operate

_OWN = Capability(0, {"name": "runtime"})


class Start:
    """A class and what its actor sees as `self.props`."""

    def __init__(self, code, id=None, props=None):
        if id is not None:
            raise TypeError("inside an isolate a facet has its default id")
        self.code = code
        self.props = props


class Place(NamedTuple):
    """One actor of a tree: the names that lead to it, what it does, the bytes of its database."""

    path: tuple
    state: str
    size: int


class Usage(NamedTuple):
    """How much of one limit is used."""

    used: float
    limit: float


class Below(NamedTuple):
    """What an actor and all below it take."""

    actors: int
    databases: int
    size: int


class ActorStat:
    """What is known of one actor, by the names that it has outside; `failure` is the name of the
    error."""

    def __init__(self, told):
        below = told["below"]
        told["usage"] = {name: Usage(*used) for name, used in told["usage"].items()}
        told["below"] = None if below is None else Below(**below)
        vars(self).update(told)

    def __repr__(self):
        return f"<stat of {self.id}: {self.state}>"


class Facets:
    """Each facet has a database of its own; its stub is lazy and called like any capability."""

    __slots__ = ()

    def get(self, name, start):
        """A stub of the facet; `start` is an Actor class of this source, or Start(cls, props=)."""
        return _now("get", name, *_code(start))

    def replace(self, name, start):
        """New code over the same data."""
        return _now("replace", name, *_code(start))

    def abort(self, name, reason="aborted by its parent"):
        """End the running facet and all below it; their storage stays."""
        _now("abort", name, str(reason))

    def delete(self, name):
        """End the facet and wipe its data, with everything below it."""
        _now("delete", name)

    def rename(self, name, new_name):
        """Give a facet another name; its data and all below it stay what they are."""
        _now("rename", name, new_name)

    def move(self, name, to, new_name=None):
        """Put a facet, with all below it, below another actor of this source: `to` is its stub."""
        _now("move", name, to, new_name)

    def list(self):
        """Names of the facets that have state or are running."""
        return _now("list")

    def exists(self, name):
        """Whether the facet has state or is running."""
        return _now("exists", name)

    def stat(self, name, *, below=False, rows=False):
        """What is known of the facet without waking it; sums and counts of rows if asked for."""
        return ActorStat(_now("stat", name, below, rows))

    def tree(self, name):
        """The facet and all below it, in the order of their paths; nobody is woken."""
        return [Place(tuple(path), state, size) for path, state, size in _now("tree", name)]

    def clone(self, source, target):
        """Copy a facet and all below it over another; await it."""
        return Reply(_OWN, "facets.clone", (source, target), {})


def _now(method, *args):
    return operate("own", [f"facets.{method}", list(args), {}])


def _code(start):
    props = None
    if isinstance(start, Start):
        start, props = start.code, start.props
    if not isinstance(start, type):
        raise TypeError(f"{start!r} is not an Actor class of this source, nor a Start of one")
    main = sys.modules[_main[0]]
    if getattr(main, start.__name__, None) is not start:
        raise TypeError(f"{start.__name__} is not found in the main module; import it there")
    return start.__name__, props


_main = [""]


def bind(main):
    """Find classes in this module."""
    _main[0] = main
