"""The actors that the suite plays with, and how it looks at them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar

from actors.local import LocalRuntime
from facets.actor import Actor
from facets.testing.crashing import crash

Error = TypeVar("Error", bound=BaseException)
Runtime = LocalRuntime
"""Any runtime with its methods."""


class Cell(Actor, kind="conformance-cell"):
    """A value that is kept, one that is not, and cells below it."""

    memory: Any = None

    async def set(self, value: Any) -> None:
        """Keep a value."""
        self.kv["value"] = value

    async def get(self) -> Any:
        """The kept value."""
        return self.kv.get("value")

    async def add(self, n: int = 1) -> int:
        """Count, in memory and on the disk at once."""
        stored = self.kv.get("value", 0)
        if self.memory not in (None, stored):
            raise AssertionError(f"memory holds {self.memory}, the database {stored}")
        self.memory = self.kv["value"] = stored + n
        return int(self.memory)

    async def remember(self, value: Any) -> None:
        """Keep a value in memory only."""
        self.memory = value

    async def recall(self) -> Any:
        """What is in memory only."""
        return self.memory

    async def below(self, path: list[str], method: str, *args: Any) -> Any:
        """Call a method of the cell at the end of a path of names."""
        if not path:
            return await getattr(self, method)(*args)
        return await self.facets.get(path[0], Cell).below(path[1:], method, *args)

    async def about(self) -> dict[str, Any]:
        """What it can say of itself."""
        return {"id": self.id, "name": self.name, "props": self.props}

    async def names(self) -> list[str]:
        """The facets below it."""
        return self.facets.list()

    async def tables(self) -> list[str]:
        """The tables of its database that it made."""
        query = "select name from sqlite_master where name like 'mine%' order by name"
        return [row.name for row in self.sql(query)]

    async def make_table(self, name: str) -> None:
        """Make one."""
        self.sql.unsafe(f"create table {name}(n)")

    async def set_and_raise(self, first: Any, second: Any) -> None:
        """One step that is kept, and one that raises."""
        self.kv["value"] = first
        await asyncio.sleep(0)
        self.kv["value"] = second
        raise KeyError("as wanted")

    async def set_and_wait(self, value: Any) -> None:
        """Keep a value and wait for ever."""
        self.kv["value"] = value
        await asyncio.Event().wait()

    async def fail(self, text: str) -> None:
        """Raise."""
        raise ValueError(text)

    async def ask_parent(self, method: str, *args: Any) -> Any:
        """Call the actor above."""
        return await getattr(self.parent, method)(*args)


class Reader(Actor, kind="conformance-reader"):
    """Other code that looks at what a cell left."""

    async def read(self) -> dict[str, Any]:
        """Everything in the key-value store."""
        return dict(self.kv)


class Player(Cell, kind="conformance-player"):
    """Runs a function of the suite as its own code, found by its name."""

    async def play(self, module: str, name: str, *args: Any) -> Any:
        """Run it."""
        return await getattr(import_module(module), name)(self, *args)


Scene = Callable[..., Awaitable[Any]]


class Conformance:
    """What every group shares."""

    async def restart(self, runtime: Runtime) -> None:
        """End the runtime in good order, and start it again on what it left."""
        await runtime.close()
        await runtime.open()

    async def crash(self, runtime: Runtime) -> None:
        """End the runtime as if its process died, and start it again on what it left."""
        await crash(runtime)
        await runtime.open()


async def play(runtime: Runtime, scene: Scene, *args: Any, name: str = "player") -> Any:
    """Run a function of a module as code of the actor `name`, wherever that lives."""
    return await runtime.get(Player, name).play(scene.__module__, scene.__name__, *args)


def same(found: object, expected: object) -> None:
    """They are equal."""
    if found != expected:
        raise AssertionError(f"found {found!r:.300}, expected {expected!r:.300}")


class Caught:
    """What was raised in the block."""

    error: Any = None


@contextmanager
def raising(kind: type[Error], *words: str) -> Iterator[Caught]:
    """The block raises this, with these words in what it says."""
    caught = Caught()
    try:
        yield caught
    except kind as error:
        caught.error = error
    else:
        raise AssertionError(f"expected {kind.__name__}, and nothing was raised")
    for word in words:
        if word not in str(caught.error):
            raise AssertionError(f"{word!r} is not in {caught.error!s:.300}")
