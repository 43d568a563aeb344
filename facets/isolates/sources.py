"""What a source is: which language, which modules and files, and which of them is the main one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from facets.isolates.errors import BadModules
from facets.isolates.modules import MOST, sort, too_large

Source = str | bytes | Mapping[str, str] | Mapping[str, bytes] | Mapping[str, str | bytes]
_FILES = {"javascript": (".js", ".mjs"), "typescript": (".ts", ".mts")}
_DATA = (".json", ".txt")
"""Modules of these names are a value, or a text, in JavaScript and TypeScript."""


class Read(NamedTuple):
    """The fields of a `Code`."""

    modules: Mapping[str, str]
    main: str
    language: str
    wasm: bytes = b""
    paths: Mapping[str, str] = MappingProxyType({})
    files: Mapping[str, bytes] = MappingProxyType({})


def read(source: Source, main: str | None = None, language: str | None = None) -> Read:
    """One source text, or modules and files by name.

    `main` says which module is loaded; it may be left out when one is called "main" or there is
    only one. `language` is "python", "javascript" or "typescript"; left out, names that end in
    .js, .mjs, .ts or .mts say it, and otherwise it is Python. Bytes, or one module whose name ends
    in .wasm, are raw WebAssembly. `modules.sort` says how Python modules and files are told apart.

    Raises BadModules for a name or a content that cannot be loaded, ModulesTooLarge over
    `modules.MOST` bytes, ValueError if there is no such language or main module.
    """
    wasm = _wasm(source)
    if wasm is not None:
        return Read(MappingProxyType({}), main or "main.wasm", "wasm", wasm)
    given: Mapping[Any, Any] = {main: source} if isinstance(source, str) else source  # type: ignore[assignment]
    language = language or _guess([*given])
    if language not in {"python", *_FILES}:
        known = ", ".join(["python", *_FILES])
        raise ValueError(f"there is no language {language!r} here; there is {known}")
    usual = "main" + _FILES.get(language, ("",))[0]
    given = {main or usual: source} if isinstance(source, str) else dict(given)
    found = _python(given) if language == "python" else Read(_checked(given, language), "", "")
    main = main or _main(found.modules, language, usual)
    if main not in found.modules:
        raise ValueError(f"there is no module {main!r} among {sorted(found.modules)}; pass main=")
    return found._replace(main=main, language=language)


def _python(given: Mapping[str, str | bytes]) -> Read:
    found = sort(given)
    return Read(
        MappingProxyType(found.modules), "", "",
        paths=MappingProxyType(found.paths), files=MappingProxyType(found.files),
    )  # fmt: skip


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


def _checked(given: Mapping[str, Any], language: str) -> Mapping[str, str]:
    """Modules of JavaScript or TypeScript; TypeError or BadModules if one cannot be."""
    size = 0
    for name, text in given.items():
        if not isinstance(name, str) or not _is_name(name, language):
            said = (
                f"{str(name)[:200]!r} is not the name of a module; write 'tool.js' or 'lib/tool.js'"
            )
            raise BadModules(said, name=str(name)[:200])
        if not isinstance(text, str):
            raise TypeError(f"the source of {name!r} is {type(text).__name__}, not str")
        size += len(text)
        if size > MOST:
            raise too_large()
    return MappingProxyType(dict(given))


def _is_name(name: str, language: str) -> bool:
    ends = _FILES["javascript"] + _DATA + (_FILES["typescript"] if language == "typescript" else ())
    plain = not any(sign in name for sign in "\\\0\n\r:") and len(name) <= 255
    return (
        plain
        and name.endswith(ends)
        and all(part not in {"", ".", ".."} for part in name.split("/"))
    )
