"""What one isolate was handed, by number; and, through `exports`, what it handed out.

A handle is an index into this table and of no use elsewhere, so it need not be secret: a number
that a guest makes up reaches nothing it was not given, and kills it. Each time a capability goes
in counts; the guest says how many of those it let go of (`drop`), so one that is on its way in
meanwhile is not lost. At zero the entry is gone. Numbers are never used again.
"""

from __future__ import annotations

from collections.abc import Hashable
from types import AsyncGeneratorType
from typing import TYPE_CHECKING, Any

from actors.streams import Stream
from facets.capabilities.capability import Capability
from facets.capabilities.marked import Object
from facets.capabilities.reference import as_capability, identity
from facets.isolates.errors import NotTransferable
from facets.isolates.exports import Exports

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 65_536
"""Capabilities that one isolate may hold."""
OWN = 0
"""The handle of the runtime's own services."""


class Grant:
    """One entry: a value, what of it can be called, and as whose code that runs."""

    __slots__ = ("capability", "handle", "home", "times", "value")

    def __init__(self, handle: int, value: object, capability: Capability, home: Any) -> None:
        self.handle = handle
        self.value = value
        self.capability = capability
        self.home = home
        self.times = 0


class Grants:
    """The table of one isolate. `References` of its messages."""

    def __init__(self, exports: Exports, own: Capability | None, home: Any) -> None:
        self.exports = exports
        self.home = home
        """Stands in for the maker of what is granted next, if nobody made it."""
        self.on_lost: Callable[[Capability, list[int]], None] | None = None
        """Told what was taken back, and the handles that the guest has for it."""
        self._entries: dict[int, Grant] = {}
        self._handles: dict[Hashable, int] = {}
        self._last = OWN
        self._given: list[int] = []
        if own is not None:
            self._entries[OWN] = Grant(OWN, own, own, own.home)

    # -- outwards ---------------------------------------------------------------------------------

    def grant(self, value: object) -> dict[str, Any] | None:
        """See `References`."""
        own = self.exports.number_of(value)
        if own is not None:
            return {"$": ["g", own]}
        if isinstance(value, AsyncGeneratorType):
            value = Stream(value, self.home)
        handle = self._handles.get(identity(value))
        if handle is None:
            capability = as_capability(value)
            if capability is None:
                return None
            handle = self._enter(value, capability)
        entry = self._entries[handle]
        entry.times += 1
        self._given.append(handle)
        return {"$": ["r", handle, _description(entry.capability)]}

    def _enter(self, value: object, capability: Capability) -> int:
        if len(self._entries) >= MOST:
            raise NotTransferable(
                f"the isolate holds {MOST} capabilities already", hint="let go of some", path=""
            )
        handle = self._last = self._last + 1
        made_here = isinstance(capability, Object) and capability is not value
        home = (None if made_here else capability.home) or self.home
        self._entries[handle] = Grant(handle, value, capability, home)
        self._handles[identity(value)] = handle
        capability.held_by(self)
        return handle

    @property
    def mark(self) -> int:
        """See `References`."""
        return len(self._given)

    def take_back(self, mark: int) -> None:
        """See `References`."""
        while len(self._given) > mark:
            self._let_go(self._given.pop(), 1)

    def sent(self) -> None:
        """What was granted so far is on its way."""
        self._given.clear()

    def lost(self, capability: Capability) -> None:
        """It was taken back: the guest is told, and what runs for it is cancelled."""
        if self.on_lost is not None:
            found = [one.handle for one in self._entries.values() if one.capability is capability]
            self.on_lost(capability, found)

    # -- inwards: a guest wrote what comes here -----------------------------------------------

    def entry(self, handle: object) -> Grant:
        """What a handle means; ValueError if it means nothing."""
        found = self._entries.get(handle) if type(handle) is int else None
        if found is None:
            raise ValueError(f"a handle that it does not hold: {handle!r:.40}")
        return found

    def granted(self, tagged: list[Any]) -> object:
        """See `References`."""
        entry = self.entry(tagged[1])
        if entry.handle == OWN:
            raise ValueError("the runtime's own services are no value")
        return entry.value

    def exported(self, tagged: list[Any]) -> object:
        """See `References`."""
        return self.exports.received(tagged[1], tagged[2])

    def drop(self, pairs: object) -> None:
        """The guest let go of these, as many times as it says."""
        if type(pairs) is not list:
            raise ValueError("pairs were expected")
        for handle, times in pairs:
            if type(times) is not int or times <= 0 or handle == OWN:
                raise ValueError("a drop of nothing")
            self.entry(handle)
            self._let_go(handle, times)

    def _let_go(self, handle: int, times: int) -> None:
        entry = self._entries[handle]
        if times > entry.times:
            raise ValueError("a drop of more than was granted")
        entry.times -= times
        if not entry.times:
            del self._entries[handle]
            del self._handles[identity(entry.value)]

    def __len__(self) -> int:
        """Capabilities that the guest holds, the runtime's own not counted."""
        return len(self._entries) - (OWN in self._entries)

    def clear(self) -> None:
        """The isolate is gone."""
        self._entries.clear()
        self._handles.clear()
        self.exports.end()


def _description(capability: Capability) -> dict[str, Any]:
    methods = dict(capability.methods)
    return {"kind": capability.kind, "name": capability.name, "methods": methods}
