"""Patterns of paths, and the ways in which servers read a path.

A path may be matched as one thing here and served as another there: `/public/..%2Fadmin` is one
segment to one server and `/admin` to another. So a path is allowed only if every reading of it
is: as it stands, decoded as often as anything is left to decode, with backslashes, path
parameters, double slashes and overlong encodings taken as lenient servers take them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

DECODINGS = 4
"""A path that can be decoded more often than this has no good reason for it."""

_DOT = re.compile(r"%2e", re.IGNORECASE)


def without_dots(path: str) -> str:
    """Remove `.` and `..` segments, encoded or not."""
    kept: list[str] = []
    segments = [(_DOT.sub(".", part), part) for part in path.split("/")[1:]]
    for plain, part in segments:
        if plain == "..":
            del kept[-1:]
        elif plain != ".":
            kept.append(part)
    if segments and segments[-1][0] in (".", "..") and kept[-1:] != [""]:
        kept.append("")
    return "/" + "/".join(kept)


def _lenient(path: str) -> str:
    """As the most obliging server reads it."""
    path = path.replace("\xc0\xae", ".").replace("\xc0\xaf", "/").replace("\\", "/")
    path = re.sub(r";[^/]*", "", path)
    return without_dots(re.sub(r"/+", "/", path))


def readings(path: str) -> frozenset[str] | None:
    """Every way to read a path; None if there is no end to it."""
    found: set[str] = set()
    for _ in range(DECODINGS):
        found |= {path, _lenient(path)}
        # One character for one byte throughout: text would grow with each decoding.
        decoded = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
        if decoded == path:
            return frozenset(found)
        path = decoded
    return None


@lru_cache(maxsize=1024)
def pattern(text: str) -> re.Pattern[str]:
    """`*` is anything within a segment, `**` anything at all; ValueError if it has no sense."""
    if not text.startswith("/") or re.search(r"[?#\\]|/\.\.?(/|$)|\*{3}", text):
        raise ValueError(
            f"the path pattern {text!r} must begin with / and name neither query nor dots"
        )
    parts = re.split(r"(\*\*|\*)", text)
    meaning = {"*": "[^/]*", "**": ".*"}
    return re.compile("".join(meaning.get(part) or re.escape(part) for part in parts), re.DOTALL)


def allowed(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether some pattern matches each reading of the path."""
    found = readings(path)
    return found is not None and all(
        any(pattern(one).fullmatch(reading) for one in patterns) for reading in found
    )
