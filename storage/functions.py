"""SQL functions in the place of SQLite's own, which take quadratic time and cannot be interrupted.

`trim`, `ltrim` and `rtrim` with two arguments, `instr` and `replace`: on two texts of a mebibyte
SQLite's hold the process for seconds, trim for minutes, whatever the time limit of the statement.
These give the same answers in time that the lengths bound.
"""

from __future__ import annotations

from collections.abc import Callable

import apsw

Value = str | bytes | int | float | None


def define(db: apsw.Connection) -> None:
    """Make this connection use them."""
    _add(db, "trim", lambda text, of: _rstrip(_lstrip(text, of), of), 2)
    _add(db, "ltrim", _lstrip, 2)
    _add(db, "rtrim", _rstrip, 2)
    _add(db, "instr", _instr, 2)
    _add(db, "replace", lambda text, old, new: _replace(db, text, old, new), 3)


def _add(db: apsw.Connection, name: str, function: Callable[..., Value], arguments: int) -> None:
    # Innocuous, as SQLite's own are: generated columns, views and triggers may use them.
    db.create_scalar_function(
        name, function, arguments, deterministic=True, flags=apsw.SQLITE_INNOCUOUS
    )


def _text(value: Value) -> str | None:
    """As SQLite turns it into text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float):
        digits, e, exponent = f"{value:.15g}".partition("e")
        return (digits if "." in digits or "n" in digits else f"{digits}.0") + e + exponent
    return value if value is None or isinstance(value, str) else str(value)


def _lstrip(value: Value, of: Value) -> str | None:
    text, characters = _text(value), _text(of)
    if text is None or characters is None:
        return None
    allowed = set(characters)  # str.lstrip looks through all of them for each
    at = next((at for at, one in enumerate(text) if one not in allowed), len(text))
    return text[at:]


def _rstrip(value: Value, of: Value) -> str | None:
    text, characters = _text(value), _text(of)
    if text is None or characters is None:
        return None
    allowed = set(characters)
    over = next((at for at, one in enumerate(reversed(text)) if one not in allowed), len(text))
    return text[: len(text) - over]


def _instr(value: Value, part: Value) -> int | None:
    if value is None or part is None:
        return None
    if isinstance(value, bytes) and isinstance(part, bytes):
        return value.find(part) + 1
    return (_text(value) or "").find(_text(part) or "") + 1


def _replace(db: apsw.Connection, value: Value, old: Value, new: Value) -> str | None:
    text, before, after = _text(value), _text(old), _text(new)
    if text is None or not before:
        return text if before is not None else None
    if after is None:
        return None
    size = len(text) + text.count(before) * (len(after) - len(before))
    if size > db.limit(apsw.SQLITE_LIMIT_LENGTH):
        raise apsw.TooBigError("string or blob too big")
    return text.replace(before, after)
