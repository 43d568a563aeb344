"""What a model is shown of what it may call: declarations in its language."""

from __future__ import annotations

from collections.abc import Mapping
from types import AsyncGeneratorType
from typing import Any, Literal, Protocol

from actors.streams import Stream
from facets.capabilities import python, typescript
from facets.capabilities.capability import Capability
from facets.capabilities.reference import as_capability


class Language(Protocol):
    """How one language declares things."""

    def stream(self, name: str) -> str:
        """Something to iterate, once."""

    def function(self, name: str, capability: Capability) -> str:
        """A function that is awaited or iterated."""

    def object(self, name: str, capability: Capability) -> str:
        """An object with methods that are."""

    def data(self, name: str, value: Any) -> str:
        """A plain value."""

    def types(self) -> str:
        """The types that what was declared so far speaks of."""


def describe(described: Any, language: Literal["python", "typescript"] = "python") -> str:
    """Declarations of a capability, or of everything in an `env`, as text to show a model.

    With types from annotations and the docstrings of their authors; plain functions are declared
    async, since a caller in an isolate awaits them. A stub of code that is not trusted, or
    asleep, may not know its methods. TypeError for what is neither; ValueError for another
    language.
    """
    if language not in ("python", "typescript"):
        raise ValueError(f"there are python and typescript, not {language!r}")
    words: Language = python.Python() if language == "python" else typescript.TypeScript()
    if isinstance(described, Mapping):
        parts = [_one(words, str(name), value) for name, value in described.items()]
    else:
        found = as_capability(described)
        if found is None:
            raise TypeError(f"{described!r} is neither a capability nor an env")
        parts = [_one(words, found.name.rpartition(".")[2], found)]
    types = words.types()
    return "\n\n".join([types, *parts] if types else parts) + "\n"


def _one(words: Language, name: str, value: Any) -> str:
    if isinstance(value, (Stream, AsyncGeneratorType)):
        return words.stream(name)
    capability = as_capability(value)
    if capability is None:
        return words.data(name, value)
    if capability.kind == "function":
        return words.function(name, capability)
    return words.object(name, capability)
