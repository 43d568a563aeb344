"""The source that an isolate runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType


@dataclass(frozen=True)
class Code:
    """Modules by name, and which of them is the main one. Immutable; equal by content.

    Tracebacks name a module's lines as `NAME.py`.
    """

    modules: Mapping[str, str]
    main: str
    language: str = "python"

    @classmethod
    def of(cls, source: str | Mapping[str, str], main: str | None = None) -> Code:
        """One source text (module `main`), or modules by dotted name.

        `main` says which module is loaded; it may be left out when one is called "main" or
        there is only one.
        """
        modules = {main or "main": source} if isinstance(source, str) else dict(source)
        if main is None:
            main = "main" if "main" in modules or len(modules) != 1 else next(iter(modules))
        if main not in modules:
            raise ValueError(f"there is no module {main!r} among {sorted(modules)}; pass main=")
        for name, text in modules.items():
            if not isinstance(name, str) or not all(
                part.isidentifier() for part in name.split(".")
            ):
                raise ValueError(
                    f"{name!r} is not the name of a module; write 'tool' or 'package.tool'"
                )
            if not isinstance(text, str):
                raise TypeError(f"the source of {name!r} is {type(text).__name__}, not str")
        return cls(MappingProxyType(modules), main)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of language, main and modules; the identity of this code."""
        content = [self.language, self.main, sorted(self.modules.items())]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self.hash)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Code) and self.hash == other.hash

    def __reduce__(self) -> tuple[type[Code], tuple[dict[str, str], str, str]]:
        return Code, (dict(self.modules), self.main, self.language)
