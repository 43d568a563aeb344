"""The source that an isolate runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

_FILES = {"javascript": (".js", ".mjs"), "typescript": (".ts", ".mts")}
_DATA = (".json", ".txt")
"""Modules of these names are a value, or a text."""


@dataclass(frozen=True)
class Code:
    """Modules by name, and which of them is the main one. Immutable; equal by content.

    Python modules have dotted names, and tracebacks name their lines as `NAME.py`. Modules of
    JavaScript and TypeScript have the names of files, with `/` between folders.
    """

    modules: Mapping[str, str]
    main: str
    language: str = "python"
    wasm: bytes = b""
    """The one module, if the language is "wasm"."""

    @classmethod
    def of(
        cls,
        source: str | bytes | Mapping[str, str] | Mapping[str, bytes],
        main: str | None = None,
        language: str | None = None,
    ) -> Code:
        """One source text, or modules by name.

        `main` says which module is loaded; it may be left out when one is called "main" or
        there is only one. `language` is "python", "javascript" or "typescript"; left out, names
        that end in .js, .mjs, .ts or .mts say it, and otherwise it is Python. Bytes, or one
        module whose name ends in .wasm, are raw WebAssembly.
        """
        wasm = _wasm(source)
        if wasm is not None:
            return cls(MappingProxyType({}), main or "main.wasm", "wasm", wasm)
        given: Mapping[Any, Any] = {main: source} if isinstance(source, str) else source  # type: ignore[assignment]
        language = language or _guess([*given])
        if language not in {"python", *_FILES}:
            known = ", ".join(["python", *_FILES])
            raise ValueError(f"there is no language {language!r} here; there is {known}")
        usual = "main" + _FILES.get(language, ("",))[0]
        modules = {main or usual: source} if isinstance(source, str) else dict(given)
        main = main or _main(modules, language, usual)
        if main not in modules:
            raise ValueError(f"there is no module {main!r} among {sorted(modules)}; pass main=")
        for name, text in modules.items():
            _check(name, text, language)
        return cls(MappingProxyType(modules), main, language)

    @property
    def entry(self) -> str:
        """What is called if nothing is named: "main", or "" for all that a module exports."""
        return "" if self.language == "wasm" else "main"

    @cached_property
    def hash(self) -> str:
        """SHA-256 of language, main and modules; the identity of this code."""
        content: list[object] = [self.language, self.main, sorted(self.modules.items())]
        if self.wasm:
            content.append(hashlib.sha256(self.wasm).hexdigest())
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self.hash)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Code) and self.hash == other.hash

    def __reduce__(self) -> tuple[type[Code], tuple[dict[str, str], str, str, bytes]]:
        return Code, (dict(self.modules), self.main, self.language, self.wasm)


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


def _guess(names: list[str | None]) -> str:
    for language in ("typescript", "javascript"):
        if any(isinstance(name, str) and name.endswith(_FILES[language]) for name in names):
            return language
    return "python"


def _main(modules: Mapping[str, str], language: str, usual: str) -> str:
    if usual in modules or language == "python":
        return usual if usual in modules or len(modules) != 1 else next(iter(modules))
    files = _FILES["typescript"] + _FILES["javascript"]
    called = [name for name in modules if name in {f"main{ending}" for ending in files}]
    code = called or [name for name in modules if name.endswith(files)]
    return code[0] if len(code) == 1 else usual


def _check(name: object, text: object, language: str) -> None:
    if not isinstance(name, str) or not _is_name(name, language):
        like = "'tool' or 'package.tool'" if language == "python" else "'tool.js' or 'lib/tool.js'"
        raise ValueError(f"{name!r} is not the name of a module; write {like}")
    if not isinstance(text, str):
        raise TypeError(f"the source of {name!r} is {type(text).__name__}, not str")


def _is_name(name: str, language: str) -> bool:
    if language == "python":
        return all(part.isidentifier() for part in name.split("."))
    ends = _FILES["javascript"] + _DATA + (_FILES["typescript"] if language == "typescript" else ())
    plain = not any(sign in name for sign in "\\\0\n\r:") and len(name) <= 255
    return (
        plain
        and name.endswith(ends)
        and all(part not in {"", ".", ".."} for part in name.split("/"))
    )
