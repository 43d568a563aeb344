"""What an argument must be like for a narrowed capability to be used.

"/v1/*"           text: `*` is anything but a slash, `**` anything at all; without a star,
                  exactly this text. Text that begins with a slash is matched as a path: every
                  way in which a server could read it must match, so `/v1/../admin` does not
("a", "b"), {1}   one of these, each a pattern itself
a function        called with the argument; whether it returns true
anything else     equal to this, and of the same type
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from facets.egress.paths import pattern as path_pattern
from facets.egress.paths import readings


def matches(value: object, pattern: Any) -> bool:
    """Whether an argument is what the pattern says."""
    if isinstance(pattern, str):
        return type(value) is str and _text(value, pattern)
    if isinstance(pattern, (tuple, list, set, frozenset)):
        return any(matches(value, one) for one in pattern)
    if isinstance(pattern, Callable):  # type: ignore[arg-type]
        return bool(pattern(value))
    return type(value) is type(pattern) and value == pattern


def check(pattern: Any) -> None:
    """ValueError for a pattern that has no sense."""
    if isinstance(pattern, (tuple, list, set, frozenset)):
        for one in pattern:
            check(one)
    elif isinstance(pattern, str) and "*" in pattern:
        _compiled(pattern)


def _text(value: str, pattern: str) -> bool:
    if "*" not in pattern:
        return value == pattern
    compiled = _compiled(pattern)
    if not pattern.startswith("/"):
        return compiled.fullmatch(value) is not None
    try:
        found = readings(_bytes(value))
    except UnicodeEncodeError:  # a lone surrogate is in no path
        return False
    return found is not None and all(compiled.fullmatch(reading) for reading in found)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    if pattern.startswith("/"):
        return path_pattern(_bytes(pattern))
    parts = re.split(r"(\*\*|\*)", pattern)
    meaning = {"*": "[^/]*", "**": ".*"}
    return re.compile("".join(meaning.get(part) or re.escape(part) for part in parts), re.DOTALL)


def _bytes(text: str) -> str:
    """One character for each byte of the text's UTF-8: what a path is on its way."""
    return text.encode().decode("latin-1")
