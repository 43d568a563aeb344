"""Exceptions as data: what an error says when it leaves, and the error an answer stands for."""

import builtins
import linecache
import os
import traceback

from facets import errors

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_INTERNAL = (HERE, "<frozen importlib")
LONGEST = 4096
FRAMES = 20


def describe(error):
    """The error as plain data: class, nearest class known outside, message, traceback, notes."""
    return {
        "type": type(error).__qualname__,
        "kinds": [cls.__name__ for cls in type(error).__mro__ if _known(cls)],
        "message": _text(error),
        "hint": _short(getattr(error, "hint", "")),
        "fields": _fields(error),
        "traceback": _format(error)[-16 * LONGEST :],
        "notes": [str(note)[:LONGEST] for note in getattr(error, "__notes__", ())][:16],
    }


def _known(cls):
    return cls.__module__ == "builtins" or cls.__module__ == "facets.errors"


def _text(error):
    if isinstance(error, errors.FacetsError):
        return _short(error.message)
    if isinstance(error, KeyError) and len(error.args) == 1:
        return _short(repr(error.args[0]))
    return _short(error)


def _short(value):
    try:
        return str(value)[:LONGEST]
    except Exception as failed:
        return f"<str() raised {type(failed).__name__}>"


def _fields(error):
    fields = getattr(error, "fields", None) if isinstance(error, errors.FacetsError) else None
    if isinstance(error, ImportError) and error.name:
        fields = {"name": error.name}
    plain = (str, int, float, bool, type(None))
    return {k: v for k, v in (fields or {}).items() if type(k) is str and type(v) in plain}


def _format(error):
    try:
        report = traceback.TracebackException.from_exception(error, capture_locals=False)
        _strip(report, set())
        return "".join(report.format())
    except Exception as failed:
        return f"{type(error).__name__} (no traceback: {type(failed).__name__})\n"


def _strip(report, seen):
    """Leave out the frames of this runtime."""
    if report is None or id(report) in seen:
        return
    seen.add(id(report))
    frames = [frame for frame in report.stack if not frame.filename.startswith(_INTERNAL)]
    report.stack[:] = frames[-FRAMES:]
    _strip(report.__cause__, seen)
    _strip(report.__context__, seen)
    for inner in getattr(report, "exceptions", None) or ():
        _strip(inner, seen)


def build(description):
    """The exception that a host's answer describes, by the same name."""
    name = description["type"]
    cls = getattr(errors, name, None)
    if not (isinstance(cls, type) and issubclass(cls, Exception)):
        cls = getattr(builtins, name, None)
        if isinstance(cls, type) and issubclass(cls, Exception):
            return _builtin(cls, description["message"])
        cls = _unknown(name, description.get("kinds", ()))
    return cls(description["message"], hint=description["hint"], **description["fields"])


def _unknown(name, kinds):
    """A class for an error that exists only outside: it is the builtins that it is there."""
    for kind in kinds:
        base = getattr(builtins, kind, Exception)
        if base is not Exception and issubclass(base, Exception):
            try:
                return type(name, (errors.FacetsError, base), {"__module__": "facets.errors"})
            except TypeError:
                continue  # builtins that do not go together
    return type(name, (errors.FacetsError,), {"__module__": "facets.errors"})


def _builtin(cls, message):
    try:
        return cls(message)
    except Exception:
        return RuntimeError(f"{cls.__name__}: {message}")


def remember(filename, source):
    """Let tracebacks show the lines of this source, which may be a function that gets it."""
    get = source if callable(source) else lambda: source
    linecache.cache[filename] = (get,)  # it splits the lines when it is asked
