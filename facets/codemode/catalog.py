"""All tools of some connectors: found by words, by how well they fit."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from facets.codemode.errors import UnknownTool
from facets.codemode.operation import Operation

_WEIGHTS = {"name": 12.0, "method": 10.0, "connector": 8.0, "description": 5.0}
"""What a word counts by where it stands. The order is that of how deliberately it was put there."""
PREFIX = 0.5
"""What a word counts that only begins like the one asked for, or the other way round: `repo` and
`repository`."""
LEAST = 3
"""Letters of a word that may stand for a longer one."""
QUERY = 400
"""Characters of a query that are looked at. It may come from code in an isolate, and the search
holds the host's loop."""
LENGTH = 0.1
"""By how much each word of a tool's name lowers it: who says more means another."""
_VERBS = {
    "get": ("get", "list", "read", "fetch", "show", "find"),
    "post": ("create", "add", "new", "post"),
    "put": ("set", "replace", "put", "update"),
    "patch": ("update", "change", "edit", "patch"),
    "delete": ("delete", "remove", "delete"),
}  # fmt: skip
"""What people say for a method of HTTP."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_COMMON = frozenset(
    ("a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with")
)


@dataclass(frozen=True, slots=True)
class Found:
    """A tool that a search found, and how well it fits."""

    operation: Operation
    score: float


class Catalog:
    """Tools by path, and an index of their words."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations: dict[str, Operation] = {one.path: one for one in operations}
        self._weights: dict[str, dict[str, float]] = {}
        """By word, then by path."""
        self._lengths: dict[str, int] = {}
        for path, operation in self.operations.items():
            self._add(path, operation)

    def _add(self, path: str, one: Operation) -> None:
        fields = {
            "name": f"{one.name} {one.location}", "connector": one.connector,
            "method": " ".join((one.method.lower(), *_VERBS.get(one.method.lower(), ()))),
            "description": one.description[:2_000],
        }  # fmt: skip
        best: Counter[str] = Counter()
        for field, text in fields.items():
            for word in set(words(text)):
                best[word] = max(best[word], _WEIGHTS[field])  # type: ignore[assignment]
        for word, weight in best.items():
            self._weights.setdefault(word, {})[path] = weight
        self._lengths[path] = len(words(one.name))

    def renew(self, connector: str, operations: Iterable[Operation]) -> None:
        """Put these in the place of all tools of a connector."""
        for path in [one.path for one in self.operations.values() if one.connector == connector]:
            del self.operations[path], self._lengths[path]
            for where in self._weights.values():
                where.pop(path, None)
        for one in operations:
            self.operations[one.path] = one
            self._add(one.path, one)

    def get(self, path: str) -> Operation:
        """The tool at a path; UnknownTool names those that are like it."""
        found = self.operations.get(path)
        if found is None:
            near = [one.operation.path for one in self.search(path, 3)]
            hint = f"there is {', '.join(near)}" if near else "`codemode.search` finds tools"
            raise UnknownTool(f"there is no tool {path[:100]}", hint=hint, path=path[:100])
        return found

    def search(self, query: str, limit: int = 10) -> list[Found]:
        """The tools that fit best, best first; none if no word of the query is known.

        A word counts by where it stands, and the more the fewer tools have it; a tool with more
        of the words asked for goes before one with fewer.
        """
        asked = list(dict.fromkeys(words(query[:QUERY])))
        scores: Counter[str] = Counter()
        matched: Counter[str] = Counter()
        for word in asked:
            for path, score in self._scored(word).items():
                scores[path] += score  # type: ignore[assignment]
                matched[path] += 1
        final = {
            path: score * matched[path] / len(asked) / (1 + LENGTH * self._lengths[path])
            for path, score in scores.items()
        }
        ranked = sorted(final, key=lambda path: (-final[path], path))
        return [Found(self.operations[path], round(final[path], 3)) for path in ranked[:limit]]

    def _scored(self, word: str) -> dict[str, float]:
        """By path, what one word counts for it."""
        found: dict[str, float] = {}
        for known, where in self._like(word):
            rare = math.log(1 + len(self.operations) / len(where))
            share = rare if known == word else rare * PREFIX
            for path, weight in where.items():
                found[path] = max(found.get(path, 0.0), weight * share)
        return found

    def _like(self, word: str) -> Sequence[tuple[str, dict[str, float]]]:
        if len(word) < LEAST:
            return [(word, self._weights[word])] if word in self._weights else []
        return [
            (known, where)
            for known, where in self._weights.items()
            if known.startswith(word) or (len(known) > LEAST and word.startswith(known))
        ]


def words(text: str) -> list[str]:
    """Its words, in small letters and without the ends of plurals; of names, their parts."""
    found = [_stem(word.lower()) for word in _WORDS.findall(text)]
    return [word for word in found if word not in _COMMON]


def _stem(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
