"""Words that are looked for with FTS5, and where they were found."""

from __future__ import annotations

BEFORE, LENGTH = 60, 240
"""Characters that are shown before the first word that was found, and in all."""


MOST = 64
"""Words that are looked for; a query of thousands takes what each of them does."""


def phrases(words: str) -> str:
    """A query for all of these words, each taken as text: nobody can write operators."""
    quoted = (word.replace('"', '""').replace("\0", "") for word in words.split()[:MOST])
    return " ".join(f'"{word}"' for word in quoted)


def excerpt(text: str) -> str:
    """Where the first word was found in a text that `highlight` marked with \\x02 and \\x03."""
    at = text.find("\2")
    begin = 0 if at <= BEFORE else text.rfind(" ", at - BEFORE, at) + 1 or at
    part = text[begin : begin + LENGTH]
    if part.rfind("\2") > part.rfind("\3"):
        part = part[: part.rfind("\2")] if part.count("\2") > 1 else f"{part}\3"
    before, after = "..." * (begin > 0), "..." * (begin + LENGTH < len(text))
    return before + part.replace("\2", "[").replace("\3", "]") + after
