"""Errors of the OS sandbox.

    FacetsError
    └── SandboxError
        ├── SandboxUnavailable   this machine cannot run one: something is missing or forbidden
        ├── SandboxBusy          as many boxes are open as may be
        ├── SandboxFailed        the box died, or did not keep to its protocol
        ├── SandboxClosed        the box is closed; nothing runs in it any more
        ├── NoSuchCommand        the program is not there, or cannot be run (FileNotFoundError)
        ├── CommandFailed        `Done.check`: the exit code is not 0
        └── SandboxLimit         something took more than it may, and was ended
            ├── SandboxTimeout   a command took too long (TimeoutError)
            ├── SandboxCpu       the box used up its processor time
            ├── SandboxMemory    all processes of the box together took too much (MemoryError)
            ├── SandboxOutput    a command printed too much
            └── SandboxDisk      files do not fit (OSError)

Branches follow what a caller can do: install something, wait, open another box, or ask for less.
You get no error for an exit code, nor for a limit that the kernel tells the program of: a fork or
an allocation or a write that fails is seen by the program, which may go on.
"""

from __future__ import annotations

from storage.errors import FacetsError


class SandboxError(FacetsError):
    """Something about commands in an OS sandbox."""


class SandboxUnavailable(SandboxError):
    """This machine cannot run a sandbox. Nothing ran. The hint says what to install or allow."""


class SandboxBusy(SandboxError):
    """As many boxes are open as may be. Field: `most`."""

    hint = "wait until one is closed, or raise Sandbox(boxes=...)"
    most: int


class SandboxFailed(SandboxError):
    """The box died or did not keep to its protocol; what ran in it is over."""

    hint = "open another box"


class SandboxClosed(SandboxError):
    """The box is closed, and what ran in it over."""

    hint = "use a box within its `async with`"


class NoSuchCommand(SandboxError, FileNotFoundError):
    """The program is not there, or cannot be run. Field: `name`."""

    hint = "give a program of /usr, one of the workspace as ./name, or grant its folder: readable="
    name: str


class CommandFailed(SandboxError):
    """The exit code is not 0. Field: `done`."""

    done: object


class SandboxLimit(SandboxError):
    """Something took more than it may, and was ended. Field: `most`, in the limit's unit.

    The box can be used on; files that were changed are in it, and not in those of the actor.
    """

    most: float


class SandboxTimeout(SandboxLimit, TimeoutError):
    """A command took too long; it and all below it were killed. `most`: seconds."""


class SandboxCpu(SandboxLimit):
    """The box used up its processor time; all its commands were killed. `most`: seconds."""

    hint = "raise SandboxLimits(cpu=...), or do less in one box"


class SandboxMemory(SandboxLimit, MemoryError):
    """All processes together took too much; all were killed. `most`: bytes."""


class SandboxOutput(SandboxLimit):
    """A command printed too much; it and all below it were killed. `most`: bytes."""

    hint = "let it print into a file"


class SandboxDisk(SandboxLimit, OSError):
    """Files do not fit: too many bytes or too many files. `most`: bytes, or files."""
