"""Values between processes.

Plain values go through pickle in C. Anything else falls back to cloudpickle, which takes classes
and functions along by value where the other side could not import them. Stubs become references
that are bound again where they arrive.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import io
import pickle
import traceback
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # it has no stubs

from actors.errors import NotCopyable
from actors.ray.errors import RemoteError
from actors.stub import Method, Stub
from actors.values import COPIERS, REFERRED, Stuck, shown
from storage.rows import Row, Rows
from storage.views import View

Target = tuple[str, str, int, str]
"""Kind and name of a root; for a facet below it, a number and the incarnation that gave it."""

_PLAIN = {
    datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone,
    decimal.Decimal, fractions.Fraction, uuid.UUID, Row, Rows,
}  # fmt: skip
"""Besides what pickle knows itself."""
APART = 10_000
"""Bytes from which on a buffer does not go into a pickle, if that may be."""
exports: list[Callable[[Stub | Method], Any]] = []
"""Asked in turn for what a stub of this process, or a method of one, is anywhere else."""


class _Special(Exception):
    """Something that plain pickle may not send."""


class Whole:
    """Bytes that are not to be copied into the pickle."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class _Plain(pickle.Pickler):
    """Refuses everything whose class would have to be found again on the other side."""

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind in _PLAIN:
            return NotImplemented
        if kind is Whole or kind is memoryview:
            return _apart(obj)
        raise _Special


def _apart(obj: Any) -> Any:
    """How something is sent whose bytes stay where they are until they are sent."""
    if type(obj) is Whole:
        return bytes, (pickle.PickleBuffer(obj.data),)
    flat = obj if obj.c_contiguous else obj.tobytes()
    return _view, (pickle.PickleBuffer(flat), obj.format, obj.shape)


def _view(buffer: Any, kind: str, shape: tuple[int, ...]) -> memoryview:
    found = memoryview(buffer)
    if (found.format, found.shape) == (kind, shape):
        return found
    return found.cast("B").cast(kind, shape)  # type: ignore[call-overload, no-any-return]


class _Any(cloudpickle.Pickler):  # type: ignore[misc]  # the same
    """Takes everything that cloudpickle takes, and stubs."""

    leases: dict[int, Any] | None = None
    """Gets what is lent with the value, if that may be."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is Whole or type(obj) is memoryview:
            return _apart(obj)
        if isinstance(obj, View):
            raise Stuck("", f"{obj!r} works in its own process", "pass facets.capability(view)")
        if isinstance(obj, Stub | Method):
            for export in exports:
                reference = export(obj)
                if reference is not None:
                    return reference.__reduce__()
        lent = None if self.leases is None else self._lent(obj)
        return super().reducer_override(obj) if lent is None else lent

    def _lent(self, obj: Any) -> Any:
        """How something is sent that stays here, and is only referred to."""
        from actors.ray.peer import lease, stand_in

        kind = type(obj)
        one = lease(COPIERS[kind](obj, {}) if kind in REFERRED else obj)
        if one is None or self.leases is None:
            return None
        self.leases[one.number] = one
        return stand_in, (one.face.arrive, one.number, one.face.describe(one.value))


def dump(
    value: Any,
    what: str,
    buffers: list[pickle.PickleBuffer] | None = None,
    leases: dict[int, Any] | None = None,
) -> bytes:
    """The bytes of a value; `what` names it in a `NotCopyable`.

    Large buffers in it go to the end of `buffers` and not into the bytes; what is lent with it
    goes into `leases`.
    """
    file = io.BytesIO()
    apart = None if buffers is None else partial(_keep, buffers)
    try:
        _Plain(file, protocol=5, buffer_callback=apart).dump(value)
        return file.getvalue()
    except _Special:
        pass
    except RecursionError:
        raise NotCopyable(f"{what} is nested too deeply to send", path=what) from None
    try:
        file = io.BytesIO()
        if buffers:
            buffers.clear()
        pickler = _Any(file, protocol=5, buffer_callback=apart)
        pickler.leases = leases
        pickler.dump(value)
        return file.getvalue()
    except NotCopyable:
        raise
    except Exception as error:
        raise _not_copyable(value, what, error) from error


def _not_copyable(value: Any, what: str, error: Exception) -> NotCopyable:
    """Why, and where in the value."""
    path, why = stuck_at(value, what, error)
    hint = why.hint if isinstance(why, Stuck) else ""
    return NotCopyable(
        f"{path} cannot be sent to another process: {why.why if isinstance(why, Stuck) else why}",
        hint=hint or "pass plain data and stubs; files, locks and connections stay where they are",
        path=path,
    )


def stuck_at(value: Any, path: str, error: Exception) -> tuple[str, Exception]:
    """The innermost part of a value that cannot be sent by itself, and why."""
    for step, part in _parts(value):
        try:
            pickler = _Any(io.BytesIO(), protocol=5)
            pickler.leases = {}
            pickler.dump(part)
        except Exception as found:
            return stuck_at(part, path + step, found)
    return path, error


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"[{shown(key)}]", one) for key, one in value.items()]
    if isinstance(value, list | tuple | set | frozenset):
        return [(f"[{i}]", one) for i, one in enumerate(value)]
    return [(f".{name}", one) for name, one in getattr(value, "__dict__", {}).items()]


def _keep(buffers: list[pickle.PickleBuffer], buffer: pickle.PickleBuffer) -> bool:
    """Whether a buffer is small, and goes into the pickle."""
    if buffer.raw().nbytes < APART:
        return True
    buffers.append(buffer)
    return False


def load(data: bytes) -> Any:
    """The value again."""
    return pickle.loads(data)  # noqa: S301 - hosts and drivers of one cluster trust each other


def dump_error(error: BaseException) -> bytes:
    """An exception with its notes and the traceback of this side; what cannot be sent is told."""
    told = traceback.TracebackException.from_exception(error)
    told.__notes__ = None  # it keeps them: told again at every hop they would double each time
    text = "".join(told.format()).rstrip()
    try:
        data = cloudpickle.dumps((error, text), protocol=5)
        pickle.loads(data)  # noqa: S301 - many exceptions can be pickled and not made again
    except Exception:
        kind = type(error).__qualname__
        stand_in = RemoteError(f"{kind}: {error}", type=kind)
        return cloudpickle.dumps((stand_in, text), protocol=5)  # type: ignore[no-any-return]
    return data  # type: ignore[no-any-return]


def load_error(data: bytes) -> BaseException:
    """The exception, with a note of where it was raised."""
    error, text = load(data)
    assert isinstance(error, BaseException)  # noqa: S101 - `dump_error` made it
    error.add_note(f"raised on the host:\n{text}")
    return error
