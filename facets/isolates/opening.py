"""Opens a session of the right sort for a piece of code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from facets.isolates.code import Code
from facets.isolates.image import WASM
from facets.isolates.session import Session

if TYPE_CHECKING:
    from facets.isolates.wasm.session import WasmSession
    from facets.packages.wanted import AnyBundle

    AnySession = Session | WasmSession


async def open_session(
    code: Code, packages: AnyBundle | None = None, guest: Path = WASM, **options: Any
) -> AnySession:
    """A session of `code`, minted and loaded; the options are those of `Session.open`.

    Cancelled, it leaves nothing behind. Raises LoadError or IsolateDead.
    """
    if code.language == "wasm":
        from facets.isolates.wasm.session import WasmSession

        return await WasmSession.open(code, **options)
    return await Session.open(code, packages=packages, guest=guest, **options)
