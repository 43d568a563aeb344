"""Errors of code mode.

    FacetsError
    └── CodeModeError
        ├── UnknownTool         no connector has it (LookupError)
        ├── MisfitArguments     the arguments do not fit the schema of a tool (ValueError)
        ├── CallDenied          a rule forbids the call (PermissionError)
        ├── CallRejected        whoever was asked said no (PermissionError)
        ├── ToolFailed          a tool raised, hung, died, or gave what cannot be kept
        ├── ReplayDivergence    code did something else than when it ran before
        ├── NoSuchExecution     there is none, or no such call or snippet, by this id (LookupError)
        ├── SnippetRefused      a snippet failed an example; the version before stays (ValueError)
        ├── RollbackFailed      a call could not be reverted; the later ones are
        └── BadDocument         a description of tools cannot be used (ValueError)

The first five are raised inside, where the code that made the call may handle them, as the builtin
they are (ToolFailed as the builtin that the tool raised). `CodeMode.execute` reports what code did
not handle, and never raises for it.
"""

from __future__ import annotations

from storage.errors import FacetsError


class CodeModeError(FacetsError):
    """Something about code that uses tools."""


class UnknownTool(CodeModeError, LookupError):
    """No connector has it. Field: `path`."""

    path: str = ""


class MisfitArguments(CodeModeError, ValueError):
    """The arguments do not fit the schema of the tool; nothing ran. Field: `path`."""

    path: str = ""


class CallDenied(CodeModeError, PermissionError):
    """A rule forbids the call; nothing ran. Field: `path`."""

    path: str = ""
    hint = "there is no way around it from inside: ask whoever made the rules"


class CallRejected(CodeModeError, PermissionError):
    """Whoever was asked for approval said no; nothing ran. Field: `path`."""

    path: str = ""


class ToolFailed(CodeModeError):
    """A tool raised, hung or died, or gave what cannot be kept. Field: `path`."""

    path: str = ""


class ReplayDivergence(CodeModeError):
    """Code that ran again did not make the calls it made before. Fields: `path`, `arguments`."""

    path: str = ""
    hint = "wrap what differs from run to run in `await codemode.step(name, fn)`"


class NoSuchExecution(CodeModeError, LookupError):
    """No execution, call or snippet has this id. Field: `id`."""


class SnippetRefused(CodeModeError, ValueError):
    """A snippet failed an example and was not saved. Fields: `name`, `example`, its number."""


class RollbackFailed(CodeModeError):
    """A call could not be reverted; those after it are. Fields: `call`, `path`."""

    hint = "mend the cause and call `rollback` again: it goes on where it stopped"


class BadDocument(CodeModeError, ValueError):
    """A description of tools cannot be used. Field: `where`."""
