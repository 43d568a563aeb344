"""Work for somebody who may go away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")


class Gone(Exception):
    """The client went away; nobody wants the answer."""


async def while_there(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Do `work` as long as the client is there: when it goes, the work is cancelled at once.

    Raises `Gone` then, after the work has ended. The whole request must have been read.
    """
    doing = asyncio.ensure_future(work)
    going = asyncio.ensure_future(_goes(receive))
    try:
        await asyncio.wait((doing, going), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise Gone
    finally:
        for one in (doing, going):
            one.cancel()
        await asyncio.wait((doing, going))


async def _goes(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
