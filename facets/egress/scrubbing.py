"""Secrets taken out of answers.

A safety net and not a promise: what a server returns in another form (reversed, in base64, as a
digest, in an encoding that was not asked for) is not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

SHORTEST = 8
"""Characters. Shorter secrets would be found where they are not."""


def forms(values: Iterable[str]) -> frozenset[bytes]:
    """What to look for: each value, what follows its scheme (`Bearer ...`), both quoted."""
    plain = {part for value in values for part in (value, value.partition(" ")[2])}
    return frozenset(
        form.encode("latin-1")
        for part in plain
        for form in (part, quote(part, safe=""))
        if len(form) >= SHORTEST
    )


class Scrubber:
    """Overwrites secrets in a stream of bytes, length for length."""

    def __init__(self, secrets: frozenset[bytes]) -> None:
        # Longest first, or `Bearer` would be left standing before the stars.
        ordered = sorted(secrets, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, ordered))) if ordered else None
        self._longest = len(ordered[0]) if ordered else 0
        self._tail = b""

    def text(self, value: str) -> str:
        """A whole text, such as a header."""
        return self._stars(value.encode("latin-1")).decode("latin-1")

    def feed(self, data: bytes) -> bytes:
        """The next piece, less an end that may be the beginning of a secret."""
        if self._pattern is None:
            return data
        data = self._stars(self._tail + data)
        keep = min(self._longest - 1, len(data))
        self._tail = data[len(data) - keep :]
        return data[: len(data) - keep]

    def rest(self) -> bytes:
        """What was held back."""
        tail, self._tail = self._tail, b""
        return tail

    def _stars(self, data: bytes) -> bytes:
        if self._pattern is None:
            return data
        return self._pattern.sub(lambda found: b"*" * len(found[0]), data)
