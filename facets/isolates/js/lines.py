"""Code that was laid out anew, with its lines where they stood in the source.

Which line became which is found by the words on them: of all pairs of a line and one that has the
same words in the same order, with others between, the heaviest row of pairs that rises in both.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

CANDIDATES = 32
"""Lines with more possible places than this say nothing about theirs."""
_WORD = re.compile(r"[\w$]+")
_TICK = re.compile(r"\\.|`")


def aligned(made: str, source: str) -> str:
    """`made` with other line breaks, so that what it says stands where it stands in `source`."""
    lines = made.split("\n")
    places = _places([_WORD.findall(line) for line in lines], source)
    placed: list[str] = []
    inside = False
    for number, line in enumerate(lines):
        place = None if inside else places.get(number)
        if place is None or not _joined(placed, place, line):
            if place is not None:
                placed.extend([""] * (place - len(placed)))
            placed.append(line)
        inside ^= sum(one == "`" for one in _TICK.findall(line)) % 2 == 1
    return "\n".join(placed)


def _joined(placed: list[str], place: int, line: str) -> bool:
    """Put it on a line that is there already, if only line breaks between statements go."""
    late = placed[place:]
    if not late or any("`" in one or "//" in one for one in late):
        return False
    placed[place:] = [" ".join(filter(None, [*late, line.strip()]))]
    return True


def _places(lines: list[list[str]], source: str) -> dict[int, int]:
    """Where lines stood, of those of which it is known."""
    words = [_WORD.findall(line) for line in source.split("\n")]
    best = _Best(len(words))
    for number, line in enumerate(lines):
        found = [(place, best.up_to(place)) for place in _candidates(line, words, best.having)]
        for place, before in found:
            best.add(place, number, len(line) + (line == words[place]), before)
    return best.row()


def _candidates(
    line: list[str], words: list[list[str]], having: dict[str, list[int]]
) -> Iterator[int]:
    if not having:
        for at, one in enumerate(words):
            for word in set(one):
                having[word].append(at)
    rarest = min((having.get(word, []) for word in line), key=len, default=[])
    if len(rarest) <= CANDIDATES:
        yield from (at for at in rarest if _within(line, words[at]))


def _within(words: list[str], line: list[str]) -> bool:
    rest = iter(line)
    return all(word in rest for word in words)


class _Best:
    """The heaviest rising row of pairs that ends at or before a place; a tree of prefix maxima."""

    def __init__(self, size: int) -> None:
        self.having: dict[str, list[int]] = defaultdict(list)
        self._tree: list[_Row | None] = [None] * (size + 1)

    def up_to(self, place: int) -> _Row | None:
        """The heaviest row whose last place is not behind this one."""
        at, found = place + 1, None
        while at:
            one = self._tree[at]
            if one is not None and (found is None or one.weight > found.weight):
                found = one
            at &= at - 1
        return found

    def add(self, place: int, number: int, weight: int, before: _Row | None) -> None:
        """One more pair behind a row."""
        row = _Row(place, number, weight + (before.weight if before else 0), before)
        at = place + 1
        while at < len(self._tree):
            one = self._tree[at]
            if one is None or row.weight > one.weight:
                self._tree[at] = row
            at += at & -at

    def row(self) -> dict[int, int]:
        """The pairs of the heaviest row of all."""
        made: dict[int, int] = {}
        one = self.up_to(len(self._tree) - 2)
        while one is not None:
            made[one.number] = one.place
            one = one.before
        return made


class _Row:
    """A row of pairs, by its last."""

    __slots__ = ("before", "number", "place", "weight")

    def __init__(self, place: int, number: int, weight: int, before: _Row | None) -> None:
        self.place = place
        self.number = number
        self.weight = weight
        self.before = before
