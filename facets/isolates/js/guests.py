"""The guests that are made of the wheel's modules, as sources of native images."""

from __future__ import annotations

import hashlib
from pathlib import Path

import wasmtime

from facets.isolates import image
from facets.isolates.js import component, snapshot, wheel

_HERE = Path(__file__).parent


class JavaScript:
    """QuickJS with the prelude already run. Equal to every other of its kind."""

    stem = "javascript"

    def identity(self) -> str:
        """Hash of everything that the guest is made of."""
        parts = [wheel.content(wheel.ENGINE), component.prelude().encode()]
        names = ("quickjs.wat", "component.py", "snapshot.py")
        return _hash(parts + [(_HERE / name).read_bytes() for name in names])

    def content(self) -> bytes:
        """The component; takes about a second."""
        return component.component(*snapshot.prepared(wheel.content(wheel.ENGINE)))


class Stripper:
    """What makes JavaScript of TypeScript."""

    stem = "typescript"

    def identity(self) -> str:
        """Hash of everything that the guest is made of."""
        text = (_HERE / "stripper.wat").read_bytes()
        return _hash([wheel.content(wheel.STRIPPER), text])

    def content(self) -> bytes:
        """The component."""
        text = (_HERE / "stripper.wat").read_text("utf-8")
        return component.splice(bytes(wasmtime.wat2wasm(text)), wheel.content(wheel.STRIPPER))


def _hash(parts: list[bytes]) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


JAVASCRIPT: image.Source = JavaScript()
STRIPPER: image.Source = Stripper()
