"""QuickJS as a component with the world of `guest/isolate.wit`, put together from three parts.

The wheel's core module, `quickjs.wat` around it, and the prelude: the JavaScript in `guest/`, in
the order of its file names, inside one function. A component is a list of sections, so the
module takes the place of an empty one in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import wasmtime

HERE = Path(__file__).parent
WORDS = ("words", "undefined", "boot", "pump", "next", "again", "resolve", "source", "rehearse")
"""What the driver remembers, in the order of its export `word`."""
_CORE_MODULE = 1
_PREAMBLE = 8


def prelude() -> str:
    """The guest's side of the protocol, as one expression."""
    parts = [path.read_text("utf-8") for path in sorted((HERE / "guest").glob("*.js"))]
    code = "\n".join(parts)
    return (
        "(function (hostCall, hostLog, random) {\n'use strict';\n"
        "const ask = (text) => apply(hostCall, text, []);\n"
        "const print = (text) => apply(hostLog, text, []);\n"
        f"{code}\nreturn [boot, pump, next, again, resolve, source, begin, rehearse];\n}})"
    )


def component(module: bytes, words: Mapping[str, int]) -> bytes:
    """The whole: this core module inside, its driver knowing these words."""
    made = wasmtime.wat2wasm(_text(words))
    return splice(bytes(made), module)


def splice(made: bytes, module: bytes) -> bytes:
    """The component with `module` in the place of its first core module."""
    for number, start, content, end in sections(made):
        if number == _CORE_MODULE:
            del content
            header = bytes([_CORE_MODULE]) + leb(len(module))
            return made[:start] + header + module + made[end:]
    raise ValueError("the component has no core module")


def core_modules(words: Mapping[str, int]) -> list[bytes]:
    """The core modules of the text: the empty one, shim, allocator, driver."""
    made = bytes(wasmtime.wat2wasm(_text(words)))
    return [made[at:end] for number, _, at, end in sections(made) if number == _CORE_MODULE]


def sections(binary: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Number, start, start of the content and end of each section of a module or component."""
    at = _PREAMBLE
    while at < len(binary):
        start, number = at, binary[at]
        size, content = unleb(binary, at + 1)
        at = content + size
        yield number, start, content, at


def leb(number: int) -> bytes:
    """An unsigned number as WebAssembly writes it."""
    made = bytearray()
    while True:
        low, number = number & 0x7F, number >> 7
        made.append(low | (0x80 if number else 0))
        if not number:
            return bytes(made)


def unleb(binary: bytes, at: int) -> tuple[int, int]:
    """The unsigned number that is written there, and where it ends."""
    number = shift = 0
    while True:
        byte = binary[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def _text(words: Mapping[str, int]) -> str:
    code = prelude().encode()
    values = {name.upper(): str(words.get(name, 0)) for name in WORDS}
    values |= {"PRELUDE": _quoted(code), "SIZE": str(len(code))}
    text = (HERE / "quickjs.wat").read_text("utf-8")
    return re.sub(r"@([A-Z]+)@", lambda found: values[found[1]], text)


def _quoted(data: bytes) -> str:
    """A string of the WebAssembly text format."""
    return "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:02x}" for b in data)
