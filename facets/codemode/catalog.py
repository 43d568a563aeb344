"""All tools of some connectors: found by words, by how well they fit."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from facets.codemode.errors import ToolFailed, UnknownTool
from facets.codemode.operation import Operation
from facets.codemode.words import SYNONYMS, words

_WEIGHTS = {
    "name": 12.0,
    "summary": 9.0,
    "connector": 8.0,
    "place": 4.0,
    "method": 4.0,
    "text": 1.5,
}
"""What a word counts by where it stands. The order is that of how deliberately it was put there."""
SYNONYM = 0.6
"""What a word counts that is said for the one asked for: `delete` and `remove`."""
PREFIX = 0.5
"""What a word counts that only begins like the one asked for, or the other way round: `repo` and
`repository`."""
LEAST = 3
"""Letters of a word that may stand for a longer one."""
QUERY = 400
"""Characters of a query that are looked at. It may come from code in an isolate, and the search
holds the host's loop."""
TEXT = 600
"""Characters of a description that are looked at: what comes later is about something else."""
_VERBS = {"get": "get", "post": "create", "put": "set", "patch": "update", "delete": "delete"}
"""What a method of HTTP does."""
_HOLE = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Found:
    """A tool that a search found, and how well it fits."""

    operation: Operation
    score: float


@dataclass(slots=True)
class _Entry:
    """What the index knows of one tool."""

    weights: dict[str, float] = field(default_factory=dict)
    """By word."""
    about: frozenset[str] = frozenset()
    """The words that say what it is: one with others besides those asked for is something else."""


class Catalog:
    """Tools by path, and an index of their words."""

    def __init__(
        self, operations: Iterable[Operation], missing: Mapping[str, ToolFailed] | None = None
    ) -> None:
        self.missing = dict(missing or {})
        """Why the tools of a connector are not here, by its name."""
        self.operations: dict[str, Operation] = {one.path: one for one in operations}
        self._entries = {path: _entry(one) for path, one in self.operations.items()}
        self._index()

    def _index(self) -> None:
        self._having: dict[str, list[str]] = {}
        """By word, the paths of the tools."""
        for path, entry in self._entries.items():
            for word in entry.weights:
                self._having.setdefault(word, []).append(path)
        self._sorted = sorted(self._having)

    def renew(self, connector: str, operations: Iterable[Operation]) -> None:
        """Put these in the place of all tools of a connector."""
        for path in [one.path for one in self.operations.values() if one.connector == connector]:
            del self.operations[path], self._entries[path]
        for one in operations:
            self.operations[one.path] = one
            self._entries[one.path] = _entry(one)
        self._index()

    def get(self, path: str) -> Operation:
        """The tool at a path; UnknownTool names those that are like it, and ToolFailed says why
        the tools of its connector are missing."""
        found = self.operations.get(path)
        missing = self.missing.get(path.partition(".")[0])
        if found is None and missing is not None:
            raise ToolFailed(f"the tools cannot be had now: {missing}", path=path[:100])
        if found is None:
            near = [one.operation.path for one in self.search(path, 3)]
            hint = f"there is {', '.join(near)}" if near else "`codemode.search` finds tools"
            raise UnknownTool(f"there is no tool {path[:100]}", hint=hint, path=path[:100])
        return found

    def search(self, query: str, limit: int = 10) -> list[Found]:
        """The tools that fit best, best first; none if no word of the query is known.

        A word counts by where it stands, and the more the fewer tools have it. A tool with more
        of the words asked for goes before one with fewer, and one that is about nothing else
        before one that is.
        """
        asked = {word: self._rare(word) for word in words(query[:QUERY])}
        scores: dict[str, float] = {}
        parts: dict[str, set[str]] = {}
        recalled: dict[str, float] = {}
        for word, rare in asked.items():
            for path, (share, known) in self._matches(word).items():
                gain = rare * share * self._entries[path].weights[known]
                scores[path] = scores.get(path, 0.0) + gain
                recalled[path] = recalled.get(path, 0.0) + rare * share
                parts.setdefault(path, set()).add(known)
        whole = sum(asked.values())
        for path, score in scores.items():
            about = self._entries[path].about
            precise = len(about & parts[path]) / len(about) if about else 0.0
            scores[path] = score * recalled[path] / whole * (0.3 + precise)
        ranked = sorted(scores, key=lambda path: (-scores[path], path))
        return [Found(self.operations[path], round(scores[path], 3)) for path in ranked[:limit]]

    def _rare(self, word: str) -> float:
        """How much a word says."""
        known = self._having.get(word) or [
            path for one in self._longer(word) for path in self._having[one]
        ]
        return math.log(1 + len(self.operations) / max(1, len(known)))

    def _matches(self, word: str) -> dict[str, tuple[float, str]]:
        """By path, the word of the tool that is best for one asked for, and how good that is."""
        found: dict[str, tuple[float, str]] = {}
        for known, share in self._like(word):
            for path in self._having.get(known, ()):
                have = found.get(path)
                weight = self._entries[path].weights
                if have is None or have[0] * weight[have[1]] < share * weight[known]:
                    found[path] = share, known
        return found

    def _like(self, word: str) -> Iterator[tuple[str, float]]:
        yield word, 1.0
        for other in SYNONYMS.get(word, ()):
            yield other, SYNONYM
        if len(word) >= LEAST:
            for longer in self._longer(word):
                yield longer, PREFIX
            for end in range(LEAST + 1, len(word)):
                yield word[:end], PREFIX

    def _longer(self, word: str) -> Iterator[str]:
        """The words that begin with this one."""
        for at in range(bisect_left(self._sorted, word), len(self._sorted)):
            if not self._sorted[at].startswith(word):
                return
            if self._sorted[at] != word:
                yield self._sorted[at]


def _entry(one: Operation) -> _Entry:
    summary, _, text = one.description[:TEXT].partition("\n")
    places = [part for part in _HOLE.sub("", one.location).split("/") if part]
    verb = _VERBS.get(one.method.lower(), "")
    fields = {
        "text": text, "method": f"{one.method} {verb}", "place": " ".join(places),
        "connector": one.connector, "summary": summary, "name": one.name,
    }  # fmt: skip
    entry = _Entry()
    for where, said in fields.items():
        for word in words(said):
            entry.weights[word] = max(entry.weights.get(word, 0.0), _WEIGHTS[where])
    entry.about = frozenset(words(summary)) or frozenset(words(one.name))
    return entry
