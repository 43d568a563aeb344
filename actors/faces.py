"""How references work in another process: what is told of one there, and what a use of it does.

What lives in one process and is referred to in another has a face: the other side is told a
description, makes a stand-in of it, and sends each use back to where the thing is.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from actors.streams import Stream


class Held(Protocol):
    """What a stand-in keeps: as long as it is alive, so is what it stands for."""

    async def use(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Have something done with it, where it is."""


class Face(NamedTuple):
    """That of one type and its subclasses."""

    describe: Callable[[Any], Any]
    use: Callable[..., Awaitable[Any]]
    """Gets the thing, and what was given to `Held.use`."""
    arrive: Callable[[Held, Any], Any]
    """A function of a module, which makes the stand-in from the description."""


_faces: dict[type, Face] = {}


def show(kind: type, face: Face) -> None:
    """Let instances of `kind` be referred to from other processes."""
    _faces[kind] = face


def face_of(value: object) -> Face | None:
    """The face of a value; None if it has none."""
    return next((_faces[one] for one in type(value).__mro__ if one in _faces), None)


# -- streams -------------------------------------------------------------------------------------


def _name(stream: Stream) -> str:
    return stream.name


async def _use(stream: Stream, method: str) -> tuple[Any, ...]:
    """One item, or none at the end; "close" closes."""
    if method == "close":
        await stream.aclose()
        return ()
    try:
        return (await anext(stream),)
    except StopAsyncIteration:
        return ()


def stream_arrived(held: Held, name: str) -> Stream:
    """The stream on the other side: each item is asked for when it is taken."""
    items = _items(held)
    items.__qualname__ = name  # type: ignore[attr-defined]  # it has one
    return Stream(items, None, at_home=False)


async def _items(held: Held) -> AsyncGenerator[Any, None]:
    over = False
    try:
        while item := await held.use("next"):
            yield item[0]
        over = True
    except Exception:
        over = True  # it ended where it is
        raise
    finally:
        if not over:
            await held.use("close")


show(Stream, Face(_name, _use, stream_arrived))
