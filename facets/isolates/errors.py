"""Errors of isolates.

    FacetsError
    └── IsolateError
        ├── BadModules            modules that cannot be loaded whatever they hold (ValueError)
        ├── ModulesTooLarge       more bytes of modules than an isolate takes (ValueError)
        ├── LoadError             the source cannot be loaded; carries the guest's traceback
        ├── GuestError            code in the isolate raised; also an instance of the builtin or
        │                         storage error it was, so `except ValueError` works
        ├── NotTransferable       a value cannot cross the boundary (NotCopyable); `path` says where
        ├── GuestMissing          the guest's WebAssembly file was not built
        ├── IsolateClosed         the session was closed by its owner
        ├── RecordingError        a deterministic isolate cannot be replayed
        │   ├── NotARecording     the bytes are none that this version reads (ValueError)
        │   ├── OtherGuest        it was recorded with another build of the guest
        │   └── Divergence        the guest did something else than it did then
        ├── IsolateCap            the actor or the process has as many isolates as it may
        └── IsolateDead           the isolate was killed; its open step was rolled back
            ├── MemoryLimit       the interpreter did not survive a lack of memory (MemoryError)
            ├── HostMemoryLimit   it took too much of the host's memory
            ├── CpuLimit          it computed too long without a pause, or without a call
            │                     (TimeoutError)
            ├── OutOfCpu          the quota of an actor it works for is used up (CpuQuota)
            ├── WallLimit         a call took too long (TimeoutError)
            ├── CallLimit         it made too many calls to the host
            ├── OutputLimit       a message it sent is too large
            ├── LogLimit          it printed too much
            ├── StackLimit        it recursed too deeply inside the interpreter (RecursionError)
            ├── GuestAborted      the interpreter ended itself (`os.abort()`, `os._exit()`), or raw
            │                     WebAssembly trapped
            └── ProtocolViolation it sent what no honest guest sends

You do not get an `IsolateDead` for an exception: a method that raises leaves its isolate in
good health. `MemoryError` and `RecursionError` that the interpreter survives are `GuestError`s.
"""

from __future__ import annotations

from actors.errors import NotCopyable
from actors.quotas.errors import CpuQuota
from storage.errors import FacetsError


class IsolateError(FacetsError):
    """Something about code in an isolate."""


class BadModules(IsolateError, ValueError):
    """The name or the kind of a module makes no sense. Field: `name`."""


class ModulesTooLarge(IsolateError, ValueError):
    """The modules and files of an isolate are too large. Field: `limit`, bytes."""


class LoadError(IsolateError):
    """The source cannot be loaded: it does not parse, raises, or lacks what was asked for.

    Field: `traceback`, as the guest printed it, with the tool's own lines.
    """

    traceback: str = ""

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}\n\n{self.traceback.rstrip()}" if self.traceback else text


class NotTransferable(IsolateError, NotCopyable):
    """A value cannot cross the boundary of an isolate. Field: `path`, where it stands."""

    path: str = ""


class GuestMissing(IsolateError):
    """The guest's WebAssembly file is not there. Field: `path`."""

    hint = "install a wheel, or run `python facets/isolates/guest/build.py` in the repository"


class IsolateClosed(IsolateError):
    """The session was closed by its owner."""


class RecordingError(IsolateError):
    """A recording of a deterministic isolate cannot be replayed, or there is none."""


class NotARecording(RecordingError, ValueError):
    """The bytes are no recording, or one that this version does not read."""


class OtherGuest(RecordingError):
    """The guest is another build than the one recorded. Fields: `recorded`, `found`, hashes."""


class Divergence(RecordingError):
    """The guest did something else than it did when it was recorded.

    Fields: `pump`, the number of the message that it was given, the load being 1; `operation`,
    how many storage operations came before; `what` differs: "its answer", "a storage operation",
    "what it printed", "its end".
    """


class IsolateCap(IsolateError):
    """No isolate was made: the actor or the process has as many as it may, or as large ones.

    Fields: `cap`, the name in `IsolateLimits`; `limit`. The room of an isolate is free as soon
    as it ends.
    """


class IsolateDead(IsolateError):
    """The isolate was killed. Its open step was rolled back; what was committed before stays."""


class MemoryLimit(IsolateDead, MemoryError):
    """The interpreter did not survive running out of memory. Field: `limit`, bytes."""


class HostMemoryLimit(IsolateDead):
    """The isolate took too much memory of the host: messages that wait, or are being read.

    Fields: `size` and `limit`, bytes; `survived`, whether the isolate lives. It does when the
    calls of others take so much: one more is refused, and the isolate goes on.
    """

    survived: bool = False


class CpuLimit(IsolateDead, TimeoutError):
    """The isolate computed too long without a pause, or in tasks that its calls left behind.

    Field: `limit`, seconds.
    """


class WallLimit(IsolateDead, TimeoutError):
    """A call took too long. Fields: `limit`, seconds; `survived`, whether the isolate lives.

    A call that ends when it is cancelled fails alone, and its isolate goes on; one that does
    not takes the isolate with it.
    """

    survived: bool = False


class CallLimit(IsolateDead):
    """The isolate made too many calls to the host. Field: `limit`."""


class OutputLimit(IsolateDead):
    """A message of the isolate is too large. Fields: `limit`, `size`, bytes."""


class LogLimit(IsolateDead):
    """The isolate printed too much. Field: `limit`, bytes."""


class StackLimit(IsolateDead, RecursionError):
    """The isolate recursed too deeply inside the interpreter."""


class GuestAborted(IsolateDead):
    """The interpreter ended itself, or called something that an isolate does not have; or raw
    WebAssembly trapped.

    Field: `trap`, what WebAssembly said.
    """


class OutOfCpu(IsolateDead, CpuQuota):
    """It computed while the quota of an actor that it works for was used up. A call that begins
    then is refused with `CpuQuota`, and kills nothing."""


class ProtocolViolation(IsolateDead):
    """The isolate sent what no honest guest sends."""


class GuestError(IsolateError):
    """Code in the isolate raised.

    What you catch is a subclass that is also the builtin exception or the storage error it was
    inside. Fields: `type`, its class's name inside; `traceback`, as the guest printed it.
    """

    type: str = "Exception"
    traceback: str = ""

    def __reduce__(self) -> tuple[object, ...]:
        from facets.isolates.raised import rebuild

        return rebuild, (self.message, self.hint, self.fields)
