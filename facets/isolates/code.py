"""The source that an isolate runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from facets.isolates.modules import Sorted, sort
from facets.isolates.tree import Tree


@dataclass(frozen=True)
class Code:
    """Modules by name, which of them is the main one, and other files. Equal by content.

    Tracebacks name a module's lines as `NAME.py`, and those of packages as `NAME/__init__.py`.
    """

    modules: Mapping[str, str]
    main: str
    language: str = "python"
    paths: Mapping[str, str] = field(default_factory=dict)
    """Where modules stand that do not stand at `NAME.py`."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What is not Python, by path."""

    @classmethod
    def of(cls, source: str | Mapping[str, str | bytes], main: str | None = None) -> Code:
        """One source text (module `main`), or modules and files by name; see `modules.sort`.

        `main` says which module is loaded; it may be left out when one is called "main" or
        there is only one. Raises BadModules for a name or a content that cannot be loaded,
        ModulesTooLarge over `modules.MOST` bytes.
        """
        found = sort({main or "main": source} if isinstance(source, str) else source)
        modules = found.modules
        if main is None:
            main = "main" if "main" in modules or len(modules) != 1 else next(iter(modules))
        if main not in modules:
            raise ValueError(f"there is no module {main!r} among {sorted(modules)}; pass main=")
        return cls.sorted(found, main)

    @classmethod
    def sorted(cls, found: Sorted, main: str) -> Code:
        """Code of what `sort` found."""
        return cls(
            MappingProxyType(found.modules),
            main,
            paths=MappingProxyType(found.paths),
            files=MappingProxyType(found.files),
        )

    def path(self, name: str) -> str:
        """Where this module stands."""
        return self.paths.get(name) or name.replace(".", "/") + ".py"

    @cached_property
    def tree(self) -> Tree | None:
        """Every file of this code, modules too; None if there is nothing but modules."""
        if not self.files:
            return None
        files = {
            self.path(name): text.encode("utf-8", "surrogatepass")
            for name, text in self.modules.items()
        }
        return Tree(files | dict(self.files), values=True)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of language, main, modules and files; the identity of this code."""
        content = [self.language, self.main, sorted(self.modules.items())]
        if self.files or self.paths:
            files = sorted((k, hashlib.sha256(v).hexdigest()) for k, v in self.files.items())
            content += [sorted(self.paths.items()), files]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self.hash)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Code) and self.hash == other.hash

    def __reduce__(self) -> tuple[object, ...]:
        values = dict(self.modules), self.main, self.language, dict(self.paths), dict(self.files)
        return Code, values
