"""Storage operations of a guest, and where its steps begin and end.

The guest numbers its steps and sends the number with every operation; the host believes only
that a new number means a new step. A step ends when another number comes, or when the pump
returns and before anything the guest said in it is heard. So the most a dishonest guest gets is
two of its own steps in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from facets.isolates.codec import PAUSE, Blob, References, lower, pack
from facets.isolates.errors import CallLimit, IsolateDead, NotTransferable, ProtocolViolation
from facets.isolates.files import Answers
from facets.isolates.reading import FILE, Operation
from facets.isolates.services import Services
from storage.errors import FacetsError

OwnCall = Callable[[int, str, "tuple[Any, ...]", "dict[str, Any]"], Any]
SHORT = 4096
"""Containers in a result of storage that are made ready on the loop; more take milliseconds."""
Late = Callable[[Callable[[Callable[[], None]], bytes]], None]
Wait = Callable[[int, str, "tuple[Any, ...]", "dict[str, Any]"], "bytes | None"]
_PLAIN = (str, int, float, bool, type(None))


class Steps:
    """The open step of one isolate."""

    __slots__ = (
        "_calls", "_failed", "_files", "_late", "_open", "_own", "_references", "_services",
        "_stores", "_wait", "allowed", "lost", "served",
    )  # fmt: skip

    def __init__(
        self,
        services: Services,
        stores: bool,
        failed: Callable[[int, Exception], None],
        files: Answers,
        references: References | None = None,
        own: OwnCall | None = None,
        wait: Wait | None = None,
        late: Late | None = None,
    ) -> None:
        self._services = services
        self._references = references
        self._own = own
        """Runs one of the runtime's own services for a call of this number."""
        self._late = late
        """Makes an answer that is long somewhere else, and gives it to the guest."""
        self._wait = wait
        """Begins one that takes time; its answer, if it is there at once."""
        self._stores = stores
        self._failed = failed
        """Told which call lost a step because the commit failed."""
        self._files = files
        self._open: int | None = None
        self._calls: set[int] = set()
        self.served = 0
        self.allowed = 0
        """Operations after which the isolate is killed."""
        self.lost: Exception | None = None
        """Why a step could not be committed, since whoever reads this last took it."""

    def serve(self, operation: Operation) -> bytes | None:
        """Run one operation; the answer is the value or the error to raise in the guest.

        None if it comes later: the guest waits for something outside, and its step is over.
        """
        self.count()
        step, call, op, args = operation
        if op == "undo":
            if step == self._open:
                self.abandon()
            return b"[true,null]"
        try:
            if op == "own":
                return self._serve_own(call, args)
            blob = Blob()
            if op == FILE:
                return pack([True, lower(self._files.serve(args), blob, op)], blob)
            self._enter(step, call)
            return self._packed(op, self._services.storage(op, args))
        except IsolateDead:
            raise
        except Exception as error:
            return _refusal(error)

    def _packed(self, op: str, value: object) -> bytes | None:
        if self._late is None:
            return _packed(op, value, Blob())
        try:
            return _packed(op, value, Blob(pause=_stop, left=SHORT))
        except _Long:  # it is nobody else's, and only data: it can be read on any thread
            self._late(lambda pause: _packed_or_refused(op, value, pause))
            return None

    def _serve_own(self, call: int, args: list[Any]) -> bytes | None:
        name, positional, named = _service(args)
        own = self._services.own
        if own is None or self._own is None:
            raise PermissionError("this isolate has no services of its own")
        if own.ends_step(name):
            self.end()
            if self.lost is not None:
                raise self.lost
        if self._wait is not None and own.waits(name):
            return self._wait(call, name, positional, named)
        result = self._own(call, name, positional, named)
        blob = Blob(self._references)
        return pack([True, lower(result, blob, name)], blob)

    def count(self) -> None:
        """One more operation, or call to a capability; CallLimit if that is too much."""
        self.served += 1
        if self.served > self.allowed:
            raise CallLimit(
                f"the isolate made more than {self.allowed} calls to the host in one call",
                hint="use sql.many or kv.update, or raise Limits(calls=...)",
                limit=self.allowed,
            )

    def _enter(self, step: int, call: int) -> None:
        if not self._stores:
            raise PermissionError("only actors have storage; this is a plain entry point")
        if step != self._open:
            self.end()
            self._open = step
        self._calls.add(call)

    def end(self) -> None:
        """The step is over: commit what it did. If that fails, so do the calls in it."""
        if self._open is None:
            return
        self._open = None
        calls, self._calls = self._calls, set()
        try:
            self._services.commit()
        except Exception as error:
            self.lost = error
            for call in calls:
                self._failed(call, error)

    def take_lost(self) -> Exception | None:
        """Why a step of the last pump was not committed; None if all were."""
        lost, self.lost = self.lost, None
        return lost

    def abandon(self) -> None:
        """Roll back the open step, if there is one."""
        if self._open is not None:
            self._open = None
            self._calls = set()
            self._services.rollback()


class _Long(Exception):
    pass


def _stop() -> None:
    raise _Long


def _packed(op: str, value: object, blob: Blob) -> bytes:
    return pack([True, lower(value, blob, op)], blob)


def _packed_or_refused(op: str, value: object, pause: Callable[[], None]) -> bytes:
    try:
        return _packed(op, value, Blob(pause=pause, left=PAUSE))
    except NotTransferable as error:
        return _refusal(error)


def _service(args: list[Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    try:
        name, positional, named = args
        if type(name) is not str or type(positional) is not list or type(named) is not dict:
            raise ValueError("a name and its arguments were expected")
    except ValueError as error:
        raise ProtocolViolation(f"a malformed call to the runtime: {error}"[:500]) from None
    return name, tuple(positional), named


def _refusal(error: Exception) -> bytes:
    said = describe(error)
    if isinstance(error, NotTransferable):
        said["type"] = "NotStorable"
    blob = Blob()
    return pack([False, lower(said, blob)], blob)


def describe(error: Exception) -> dict[str, Any]:
    """The error as data, for the guest to raise by the same name.

    `kinds` are the builtins that it is, for an error that the guest does not know by name.
    """
    if isinstance(error, FacetsError):
        fields = {k: v for k, v in error.fields.items() if isinstance(v, _PLAIN)}
        said = {"message": error.message, "hint": error.hint, "fields": fields}
    else:
        text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        said = {"message": text, "hint": "", "fields": {}}
    kinds = [cls.__name__ for cls in type(error).__mro__ if cls.__module__ == "builtins"]
    return {"type": type(error).__name__, "kinds": kinds} | said
