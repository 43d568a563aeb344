"""Which guest runs which language, and what happens to a source before it is sent there."""

from __future__ import annotations

from pathlib import Path

from facets.isolates import image
from facets.isolates.code import Code


async def prepare(code: Code, guest: Path = image.WASM) -> tuple[image.Image, Code]:
    """The image of the code's language, and the code as its guest takes it.

    `guest` is what Python runs in. The image is loaded on a thread if this process does not have
    it; the first time on a machine it is compiled. TypeScript becomes JavaScript here; LoadError
    if it does not parse, GuestMissing if the extra that a language needs is not installed.
    """
    if code.language == "python":
        return await image.ready(guest), code
    from facets.isolates.js import guests, typescript

    if code.language == "typescript":
        code = await typescript.stripped(code)
    return await image.ready(guests.JAVASCRIPT), code
