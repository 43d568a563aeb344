"""The source that an isolate runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from facets.isolates import sources
from facets.isolates.tree import Tree

IMAGES = ("science",)
"""What `image` may be; without it, code runs in the usual guest of its language."""


@dataclass(frozen=True)
class Code:
    """Modules by name, which of them is the main one, and other files. Equal by content.

    Python modules have dotted names, and tracebacks name their lines as `NAME.py`, or
    `NAME/__init__.py` for packages. Modules of JavaScript and TypeScript have the names of files,
    with `/` between folders.
    """

    modules: Mapping[str, str]
    main: str
    language: str = "python"
    wasm: bytes = b""
    """The one module, if the language is "wasm"."""
    paths: Mapping[str, str] = field(default_factory=dict)
    """Where Python modules stand that do not stand at `NAME.py`."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What is no module, by path."""
    image: str = ""
    """The guest it asks for, or ""."""

    @classmethod
    def of(
        cls,
        source: sources.Source,
        main: str | None = None,
        language: str | None = None,
        image: str = "",
    ) -> Code:
        """The code in `source`; see `sources.read`. `image` is one of `IMAGES`, or ""."""
        code = cls(*sources.read(source, main, language), image=image)
        if image and image not in IMAGES:
            raise ValueError(f"there is no image {image!r}; there is {', '.join(IMAGES)}")
        if image and code.language != "python":
            raise ValueError(f"image {image!r} runs Python, not {code.language}")
        return code

    @property
    def entry(self) -> str:
        """What is called if nothing is named: "main", or "" for all that a module exports."""
        return "" if self.language == "wasm" else "main"

    def path(self, name: str) -> str:
        """Where this Python module stands."""
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
        content: list[object] = [self.language, self.main, sorted(self.modules.items())]
        if self.image:
            content.append(f"image={self.image}")
        if self.wasm:
            content.append(hashlib.sha256(self.wasm).hexdigest())
        if self.files or self.paths:
            files = sorted((k, hashlib.sha256(v).hexdigest()) for k, v in self.files.items())
            content += [sorted(self.paths.items()), files]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self.hash)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Code) and self.hash == other.hash

    def __reduce__(self) -> tuple[object, ...]:
        return Code, (
            dict(self.modules), self.main, self.language, self.wasm, dict(self.paths),
            dict(self.files), self.image,
        )  # fmt: skip
