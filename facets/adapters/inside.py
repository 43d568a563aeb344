"""Runs the code of a smolagents agent. The host gives this file to an isolate as its main module.

Code runs one statement after the other in one namespace, which lasts as long as the sandbox. A tool
is a plain function: calling it waits, in the sandbox's fiber, until the host has run it.
"""

from __future__ import annotations

import ast
import builtins
import datetime
import decimal
import io
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any

FILE = "<code>"
KEPT = "kept outside"
"""The key of what stands for a value that cannot come in: its number."""
_PLAIN = (type(None), bool, int, float, str, bytes, datetime.date, datetime.timedelta,
          decimal.Decimal)  # fmt: skip
_namespace: dict[str, Any] = {"__name__": "__main__"}


class FinalAnswer(BaseException):
    """Ends the code; `except Exception` does not hold it up."""


class Kept:
    """What a tool gave and has no place in here: it stays outside, and may be given to tools."""

    def __init__(self, number: int, text: str) -> None:
        self._number = number
        self._text = text

    def __repr__(self) -> str:
        return self._text


class Tee(io.StringIO):
    """What is printed, for the answer, and for the log if there is none."""

    def __init__(self, log: Any) -> None:
        super().__init__()
        self._log = log

    def write(self, text: str) -> int:
        """Print."""
        self._log.write(text)
        return super().write(text)


def run(
    code: str, tools: Sequence[str], variables: dict[str, Any], authorized: Sequence[str] | None
) -> dict[str, Any]:
    """What became of the code: `output`, `final`, `error` and `logs`."""
    _namespace.update(variables)
    _namespace.update({name: _tool(name) for name in tools})
    _namespace["__builtins__"] = vars(builtins) | {"__import__": _importer(authorized)}
    told: dict[str, Any] = {"output": None, "final": False, "error": None}
    with redirect_stdout(Tee(sys.stdout)) as printed:
        try:
            told["output"] = _shown(_run(code))
        except FinalAnswer as answer:
            told["output"], told["final"] = answer.args[0], True
        except SyntaxError as error:
            told["error"] = f"Code parsing failed on line {error.lineno} due to: {_said(error)}"
        except (Exception, SystemExit) as error:
            told["error"] = _failed(code, error)
    return {**told, "logs": printed.getvalue()}


def _run(code: str) -> Any:
    """The value of the last statement, if it is an expression or binds a name."""
    tree = ast.parse(code, FILE)
    last = tree.body[-1] if tree.body else None
    wanted: ast.expr | None = None
    if isinstance(last, ast.Expr):
        wanted = last.value
        tree.body.pop()
    exec(compile(tree, FILE, "exec"), _namespace)  # noqa: S102 - the sandbox is for this
    if isinstance(last, ast.Assign | ast.AnnAssign | ast.AugAssign):
        target = last.targets[-1] if isinstance(last, ast.Assign) else last.target
        return _namespace.get(target.id) if isinstance(target, ast.Name) else None
    if wanted is None:
        return None
    return eval(compile(ast.Expression(wanted), FILE, "eval"), _namespace)  # noqa: S307


def _tool(name: str) -> Callable[..., Any]:
    storage = import_module("isolate.storage")

    def call(*args: Any, **kwargs: Any) -> Any:
        given = {key: _sent(one) for key, one in kwargs.items()}
        found = storage.call_own("tools.use", [name, [_sent(one) for one in args], given])
        if type(found) is dict and found.keys() == {KEPT, "text"} and name != "final_answer":
            return Kept(found[KEPT], found["text"])
        if name == "final_answer":
            raise FinalAnswer(found)
        return found

    call.__name__ = call.__qualname__ = name
    return call


def _sent(value: Any) -> Any:
    return {KEPT: value._number} if isinstance(value, Kept) else value


def _importer(authorized: Sequence[str] | None) -> Callable[..., Any]:
    def load(name: str, given: Any = None, *rest: Any) -> Any:
        own = given is None or given.get("__name__") == "__main__"  # not those of a module
        if (
            own
            and authorized is not None
            and "*" not in authorized
            and not any(
                name == one or name.startswith(f"{one.removesuffix('.*')}.") for one in authorized
            )
        ):
            raise ImportError(
                f"Import of {name} is not allowed. Authorized imports are: {sorted(authorized)}"
            )
        return builtins.__import__(name, given, *rest)

    return load


def _failed(code: str, error: BaseException) -> str:
    """The error and the line of the code that it comes from."""
    lines = [
        one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == FILE
    ]
    where = code.splitlines()[lines[-1] - 1].strip() if lines and lines[-1] else ""
    return f"Code execution failed at line '{where}' due to: {_said(error)}"


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _shown(value: Any) -> Any:
    """The value, or its text if it is no plain data."""
    return value if _plain(value) else str(value)


def _plain(value: Any, depth: int = 0) -> bool:
    if depth > 20 or type(value) in _PLAIN:
        return depth <= 20
    if type(value) is dict:
        return all(_plain(one, depth + 1) for pair in value.items() for one in pair)
    if type(value) in (list, tuple, set, frozenset):
        return all(_plain(one, depth + 1) for one in value)
    return False
