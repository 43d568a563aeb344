"""The source that an isolate runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

IMAGES = ("science",)
"""What `image` may be; without it, code runs in the usual guest of its language."""


@dataclass(frozen=True)
class Code:
    """Modules by name, and which of them is the main one. Immutable; equal by content.

    Tracebacks name a module's lines as `NAME.py`.
    """

    modules: Mapping[str, str]
    main: str
    language: str = "python"
    wasm: bytes = b""
    """The one module, if the language is "wasm"."""
    image: str = ""
    """The guest it asks for, or ""."""

    @classmethod
    def of(
        cls,
        source: str | bytes | Mapping[str, str] | Mapping[str, bytes],
        main: str | None = None,
        image: str | None = None,
    ) -> Code:
        """One source text (module `main`), or modules by dotted name.

        `main` says which module is loaded; it may be left out when one is called "main" or
        there is only one. Bytes, or one module whose name ends in .wasm, are raw WebAssembly.
        """
        if image not in (None, *IMAGES):
            raise ValueError(f"there is no image {image!r}; there is {', '.join(IMAGES)}")
        wasm = _wasm(source)
        if wasm is not None:
            if image is not None:
                raise ValueError("raw WebAssembly runs in no image")
            return cls(MappingProxyType({}), main or "main.wasm", "wasm", wasm)
        modules: dict[Any, Any] = (
            {main or "main": source} if isinstance(source, str) else dict(source)  # type: ignore[arg-type]
        )
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
        return cls(MappingProxyType(modules), main, image=image or "")

    @property
    def entry(self) -> str:
        """What is called if nothing is named: "main", or "" for all that a module exports."""
        return "" if self.language == "wasm" else "main"

    @cached_property
    def hash(self) -> str:
        """SHA-256 of language, main and modules; the identity of this code."""
        content: list[object] = [self.language, self.main, sorted(self.modules.items())]
        if self.image:
            content.append(f"image={self.image}")
        if self.wasm:
            content.append(hashlib.sha256(self.wasm).hexdigest())
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self.hash)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Code) and self.hash == other.hash

    def __reduce__(self) -> tuple[type[Code], tuple[dict[str, str], str, str, bytes, str]]:
        return Code, (dict(self.modules), self.main, self.language, self.wasm, self.image)


def _wasm(source: object) -> bytes | None:
    """The raw WebAssembly in a source, if it is that; ValueError if it is that and more."""
    if isinstance(source, Mapping):
        named = [name for name in source if str(name).endswith(".wasm")]
        if not named:
            return None
        if len(source) > 1:
            raise ValueError(f"{named[0]!r} stands alone: raw WebAssembly has no other modules")
        source = source[named[0]]
        if not isinstance(source, bytes | bytearray):
            raise TypeError(f"{named[0]!r} is {type(source).__name__}, not bytes")
    return bytes(source) if isinstance(source, bytes | bytearray) else None
