"""Context blocks: what an agent declares that its model always has before it, or at hand.

context = [
    Readonly("house", "The rules of the house.", text=RULES),
    Writable("notes", "What you know of the user."),
    Searchable("archive", "All that was ever reported."),
    Skills("skills", "How things are done here.", folder="/skills"),
]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facets.agents.errors import BadContext, BlockTooLong
from facets.codemode.tokens import tokens

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


@dataclass(frozen=True, slots=True)
class ContextBlock:
    """What all kinds of blocks have."""

    label: str
    """The model names it by this: letters, digits, `_` and `-`."""
    description: str
    """What is in it, for the model."""


@dataclass(frozen=True, slots=True)
class Readonly(ContextBlock):
    """Text of the application, as part of the instructions. The model cannot change it."""

    text: str | Callable[[Any], Coroutine[Any, Any, str]] = ""
    """The text, or an async method of the agent that says what it is now. It is asked once a turn,
    before the first request."""
    max_tokens: int = 2000
    """Over it the turn ends with `BlockTooLong`."""


@dataclass(frozen=True, slots=True)
class Writable(ContextBlock):
    """Text that the model keeps, with the tool `set_context`."""

    text: str = ""
    """What it is until somebody sets it."""
    max_tokens: int = 1000
    """Over it `BlockTooLong` is what the model reads, and nothing is changed."""


@dataclass(frozen=True, slots=True)
class Searchable(ContextBlock):
    """Entries that the model finds with the tool `search_context`, and does not see before."""

    writable: bool = False
    """Whether it may also add some, with `add_context`."""
    max_tokens: int = 1000
    """Of one entry. Over it, the same."""


@dataclass(frozen=True, slots=True)
class Skills(ContextBlock):
    """Texts of which the model sees names and descriptions, and loads and unloads the rest, with
    `load_skill` and `unload_skill`.

    From exactly one place: a folder of the agent's `fs`, in which each skill is a folder with a
    `SKILL.md`; such a folder elsewhere, `importlib.resources.files("package") / "skills"` or a
    `Path`; or texts by their names.
    """

    folder: str | None = None
    package: Traversable | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    max_tokens: int = 5000
    """Of one skill, and of the list of all. A skill over it cannot be loaded: `BlockTooLong`; of a
    list over it the end is left out."""


_LABEL = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FENCE = re.compile(r"<(?=\s*/?\s*context\b)", re.IGNORECASE)


def check(blocks: Iterable[ContextBlock]) -> None:
    """`BadContext` if a class cannot have these."""
    labels: set[str] = set()
    for block in blocks:
        if not _LABEL.fullmatch(block.label) or block.label in labels:
            raise BadContext(
                f"{block.label!r} is no label, or that of two blocks", label=block.label
            )
        labels.add(block.label)
        if isinstance(block, Skills):
            places = [block.folder is not None, block.package is not None, bool(block.texts)]
            if sum(places) != 1:
                raise BadContext(
                    f"the skills of {block.label!r} come from one of folder, package and texts",
                    label=block.label,
                )


def bounded(label: str, text: str, most: int) -> str:
    """The text; `BlockTooLong`."""
    if tokens(text) > most:
        raise BlockTooLong(
            f"{label!r} holds at most {most} tokens, and this has about {tokens(text)}",
            label=label,
            tokens=tokens(text),
            most=most,
        )
    return text


def fenced(block: ContextBlock, text: str) -> str:
    """The text of a block as the model reads it. Nothing in the text can end it, or begin another
    one."""
    kind = type(block).__name__.lower()
    inside = "\n".join(filter(None, (block.description, _FENCE.sub("&lt;", text))))
    return f'<context label="{block.label}" kind="{kind}">\n{inside}\n</context>'
