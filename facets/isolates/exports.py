"""What an isolate handed out: functions, objects and async generators of the guest, as
capabilities and streams outside.

They live as long as the isolate; after it each use raises CapabilityRevoked, or the reason for
which its actor ended. The guest keeps an
export until every reference to it outside is gone, which the host says in batches (`drop`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Protocol, final
from weakref import WeakKeyDictionary, WeakValueDictionary

from actors.call import CURRENT
from actors.streams import Stream
from actors.visit import visit, visit_stream
from facets.capabilities.capability import Capability, Form, Kind, check_kind
from facets.capabilities.running import iterate

MOST = 10_000
"""Exports of one isolate that may be held outside at a time."""
FORMS = ("function", "object", "stream")
_METHODS = 1_000
_NAME = 200


Called = str | list[Any]
"""A method of the session's own target, or an export and a method of that."""


class Guest(Protocol):
    """The session, as its exports know it."""

    async def reply(
        self, target: Called, args: tuple[Any, ...], kwargs: dict[str, Any] | None, cause: Any
    ) -> Any:
        """Call a method of an export."""

    def items(
        self, target: Called, args: tuple[Any, ...], kwargs: dict[str, Any] | None, cause: Any
    ) -> AsyncGenerator[Any, None]:
        """Iterate a method of an export."""


class Exports:
    """The exports of one isolate that somebody outside holds."""

    def __init__(self, guest: Guest, home: Any) -> None:
        self.guest = guest
        self.home = home
        """The activation that runs the isolate; None without one."""
        self.over = False
        self.dropped: list[list[int]] = []
        self.on_drop: Callable[[], None] = lambda: None
        self._loop = asyncio.get_running_loop()
        self._held: WeakValueDictionary[int, Export] = WeakValueDictionary()
        self._streams: WeakValueDictionary[int, Stream] = WeakValueDictionary()
        self._numbers: WeakKeyDictionary[Stream, int] = WeakKeyDictionary()

    def received(self, number: object, description: object) -> Export | Stream:
        """What stands for an export outside; ValueError if the guest's words make no sense."""
        export = self._received(number, description)
        if export.kind != "stream":
            return export
        found = self._streams.get(export.number)
        if found is None:
            items = iterate(export, "", (), {})
            found = self._streams[export.number] = Stream(items, self.home, at_home=False)
            self._numbers[found] = export.number
        return found

    def number_of(self, value: object) -> int | None:
        """The number of what the guest itself handed out; None if this is something else."""
        if isinstance(value, Export):
            return value.number if value.exports is self else None
        if isinstance(value, Stream) and not value.began:
            return self._numbers.get(value)
        return None

    def _received(self, number: object, description: object) -> Export:
        if type(number) is not int or not 0 < number < 1 << 53:
            raise ValueError("an export has a number")
        name, kind, methods = _read(description)
        found = self._held.get(number)
        if found is None:
            if len(self._held) >= MOST:
                raise ValueError(f"more than {MOST} exports")
            found = self._held[number] = Export(self, number, name, kind, methods)
        found.times += 1
        return found

    def let_go(self, number: int, times: int) -> None:
        """Nobody outside holds it any more. On any thread, in the middle of anything."""
        self.dropped.append([number, times])
        if not self.over and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.on_drop)

    def take_dropped(self) -> list[list[int]]:
        """What was let go of since the last time, to be told to the guest."""
        dropped, self.dropped = self.dropped, []
        return dropped

    def end(self) -> None:
        """The isolate is gone, and with it everything it handed out."""
        self.over = True
        for one in list(self._held.values()):
            one.revoke("the isolate that it lives in has ended")


@final
class Export(Capability):
    """Something of a guest's, callable from outside: a function, or an object's methods."""

    __slots__ = ("_methods", "exports", "number", "times")

    def __init__(
        self,
        exports: Exports,
        number: int,
        name: str,
        kind: Form,
        methods: Mapping[str, Kind],
    ) -> None:
        super().__init__(name, kind=kind, at_home=False)
        self.home = exports.home
        self.exports = exports
        self.number = number
        self.times = 0
        self._methods = methods

    @property
    def methods(self) -> Mapping[str, Kind]:
        """What the guest says."""
        return self._methods

    async def call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call it in its isolate; arguments and result are copied."""
        check_kind(self, method, "call")
        guest = self.exports.guest
        return await visit(
            self.home, lambda: guest.reply([self.number, method], args, kwargs, CURRENT.get())
        )

    def stream(
        self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Iterate it in its isolate."""
        check_kind(self, method, "stream")
        guest = self.exports.guest
        return visit_stream(
            self.home, lambda: guest.items([self.number, method], args, kwargs, CURRENT.get())
        )

    def __del__(self) -> None:
        exports = getattr(self, "exports", None)
        if exports is not None and self.times:
            exports.let_go(self.number, self.times)


def _read(
    description: object,
) -> tuple[str, Form, dict[str, Kind]]:
    if type(description) is not dict:
        raise ValueError("an export is described")
    name, kind, methods = description["name"], description["kind"], description["methods"]
    if type(name) is not str or kind not in FORMS or type(methods) is not dict:
        raise ValueError("an export's description is malformed")
    for method, how in methods.items():
        if how not in ("call", "stream") or len(method) > _NAME:
            raise ValueError("an export's method is malformed")
    if len(methods) > _METHODS or len(name) > _NAME:
        raise ValueError("an export's description is too long")
    return name, kind, methods
