"""How much a model reads: an estimate, and texts cut to a size."""

from __future__ import annotations

CHARACTERS = 4
"""Of text for one token. Of English prose and of JSON it is right within a quarter for the usual
tokenizers; none of them is asked, for each belongs to one maker's models."""


def tokens(text: str) -> int:
    """About how many tokens a text is."""
    return -(-len(text) // CHARACTERS)


def cut(text: str, most: int, note: str = "") -> str:
    """The text, or its first and last parts of `most` tokens together and what is missing."""
    if tokens(text) <= most:
        return text
    room = most * CHARACTERS
    head, tail = text[: room * 3 // 4], text[len(text) - room // 4 :]
    left = tokens(text) - most
    return f"{head}\n... {left} tokens left out{note} ...\n{tail}"
