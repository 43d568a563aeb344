"""Which guest runs which language, and what happens to a source before it is sent there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from facets.isolates import image
from facets.isolates.code import Code
from facets.isolates.errors import IsolateError
from facets.isolates.files import Files
from facets.isolates.limits import Limits
from facets.packages.bundle import Bundle

if TYPE_CHECKING:
    from facets.isolates.files import Answers
    from facets.isolates.science.image import ScienceImage
    from facets.packages.wanted import AnyBundle

    AnyImage = image.Image | ScienceImage


async def prepare(code: Code, guest: Path = image.WASM) -> tuple[AnyImage, Code]:
    """The image that the code asks for, or of its language, and the code as its guest takes it.

    `guest` is what runs Python that asks for none.

    The image is loaded on a thread if this process does not have it; the first time on a machine
    it is compiled. TypeScript becomes JavaScript here; LoadError if it does not parse,
    GuestMissing if the extra that a language needs is not installed.
    """
    if code.image == "science":
        from facets.isolates.science import image as science

        found = await science.ready()
        await found.reserve()
        return found, code
    if code.language == "python":
        return await image.ready(guest), code
    from facets.isolates.js import guests, typescript

    if code.language == "typescript":
        code = await typescript.stripped(code)
    return await image.ready(guests.JAVASCRIPT), code


def files(code: Code, packages: AnyBundle | None, found: AnyImage) -> Answers:
    """What the guest may read by name, of its code and of its packages."""
    if packages is None or isinstance(packages, Bundle):
        return Files(code, packages, found.code)
    from facets.isolates.js.packages import PackageFiles

    return PackageFiles(packages)


def check_room(limits: Limits, found: AnyImage) -> None:
    """Raise IsolateError if the image does not fit into the memory limit."""
    if isinstance(found, image.Image) and limits.memory < found.smallest:
        raise IsolateError(
            f"memory={limits.memory} leaves nothing: with its packages, this image takes"
            f" {found.smallest} bytes",
            hint="raise Limits(memory=...)",
        )
