"""Which guest a piece of code runs in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from facets.isolates import image
from facets.isolates.code import Code

if TYPE_CHECKING:
    from facets.isolates.science.image import ScienceImage

    AnyImage = image.Image | ScienceImage


async def of(code: Code) -> AnyImage:
    """The image for this code, ready; the first time it may take long, on a thread."""
    if code.image == "science":
        from facets.isolates.science import image as science

        ready = science.loaded()
        return await asyncio.to_thread(science.load) if ready is None else ready
    found = image.loaded()
    return await asyncio.to_thread(image.load) if found is None else found
