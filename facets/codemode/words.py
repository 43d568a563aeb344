"""The words of names and texts, as a search compares them."""

from __future__ import annotations

import re
from functools import lru_cache

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been by can do does for from has have how i if in into is it its of"
        " off on or so some that the their them then there these this those to up was what when"
        " where which who will with you your",
    )
)
_SAME = (
    ("get", "fetch", "read", "show", "retrieve", "view", "list", "all", "every", "find"),
    ("find", "search", "query", "lookup"),
    ("create", "add", "new", "make", "post", "insert", "open"),
    ("update", "edit", "change", "modify", "set", "replace", "patch", "put"),
    ("delete", "remove", "destroy", "drop"),
    ("send", "post", "submit"),
    ("start", "run", "trigger", "dispatch", "launch"),
    ("stop", "cancel", "abort", "end"),
    ("my", "me", "current", "authenticated", "self", "own"),
    ("folder", "directory"),
    ("person", "people", "user"),
    ("content", "contents"),
)
"""Words of which people say one for another."""
_ENDS = (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"))


def words(text: str) -> list[str]:
    """Its words, in small letters and without the ends of plurals; of names, their parts."""
    found = [_stem(word.lower()) for word in _WORDS.findall(text)]
    return [word for word in found if word not in _COMMON]


@lru_cache(maxsize=20_000)
def _stem(word: str) -> str:
    for end, instead in _ENDS:
        if len(word) > len(end) + 1 and word.endswith(end):
            return word[: -len(end)] + instead
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _synonyms() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for group in _SAME:
        for word in group:
            found.setdefault(_stem(word), set()).update(map(_stem, group))
    return {word: frozenset(others - {word}) for word, others in found.items()}


SYNONYMS = _synonyms()
"""By word, what else is said for it."""
