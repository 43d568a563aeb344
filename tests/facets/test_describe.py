"""`facets.describe`: what a model is shown is what it may call."""

from __future__ import annotations

import ast
import enum
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

import facets
from facets import Actor, LocalRuntime


class Color(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    color: Color | None


@facets.capability
class Api:
    """A service."""

    async def get(self, path: str, *, page: int = 1) -> list[Point]:
        """Read one page.

        Raises LookupError.
        """
        raise NotImplementedError

    def put(self, points: Mapping[str, Point], mode: Literal["a", "b"] = "a") -> None:
        """Keep \"\"\"them\"\"\"."""

    async def watch(self, *names: str) -> AsyncIterator[tuple[int, ...]]:
        """New ones."""
        yield (1,)

    async def _secret(self) -> None: ...


@facets.capability
async def search(text: str, limit: int | None = None, **more: Any) -> dict[str, float]:
    """Find it. */ `rm -rf` \\d"""
    raise NotImplementedError


class Book(Actor):
    """Notes."""

    async def note(self, what: str) -> int:
        """Add one."""
        raise NotImplementedError


PYTHON = '''class Point:
    x: int
    color: Color | None

Color = Literal['red']

class api:
    """A service."""

    async def get(self, path: str, *, page: int = 1) -> list[Point]:
        """Read one page.

        Raises LookupError.
        """
        ...

    async def put(self, points: Mapping[str, Point], mode: Literal['a', 'b'] = 'a') -> None:
        """Keep \'\'\'them\'\'\'."""
        ...

    async def watch(self, *names: str) -> AsyncIterator[tuple[int, ...]]:
        """New ones."""
        ...

async def search(text: str, limit: int | None = None, **more: Any) -> dict[str, float]:
    """Find it. */ `rm -rf` \\\\d"""
    ...

most: int = 5
'''
TYPESCRIPT = """interface Point {
  x: number;
  color: Color | null;
}

type Color = "red";

/** A service. */
declare const api: {
  /**
   * Read one page.
   *
   * Raises LookupError.
   */
  get(path: string): Promise<Point[]>;
  /** Keep \"\"\"them\"\"\". */
  put(points: Record<string, Point>, mode?: "a" | "b"): Promise<void>;
  /** New ones. */
  watch(...names: string[]): AsyncIterable<number[]>;
};

/** Find it. * / `rm -rf` \\d */
declare function search(text: string, limit?: number | null): Promise<Record<string, number>>;

declare const most: number; // 5
"""


def test_an_env_is_described_in_python() -> None:
    said = facets.describe({"api": Api(), "search": search, "most": 5})

    assert said == PYTHON
    ast.parse(said)


def test_an_env_is_described_in_typescript() -> None:
    env = {"api": Api(), "search": search, "most": 5}

    assert facets.describe(env, language="typescript") == TYPESCRIPT


def test_what_is_narrowed_away_is_not_described() -> None:
    narrow = facets.capability(Api()).only("get", path="/v1/*", max_calls=3, expires=60)
    said = facets.describe({"api": narrow})

    assert "watch" not in said
    assert "path: only '/v1/*'" in said
    assert "3 more calls" in said
    assert "limited time" in said
    assert "what its giver allows" in facets.describe(search.only(text=len))


async def test_stubs_and_views_describe_themselves(state: Path) -> None:
    seen: list[str] = []

    class Lead(Actor):
        async def look(self) -> None:
            isolate = self.isolates.get("from facets import Actor\nclass T(Actor): pass")
            seen.append(
                facets.describe(
                    {
                        "book": self.facets.get("book", Book),
                        "files": self.fs.view("/docs"),
                        "tool": self.facets.get("tool", isolate.actor("T")),
                    }
                )
            )

    async with LocalRuntime(state) as runtime:
        await runtime.get(Lead, "a").look()

    (said,) = seen
    ast.parse(said)
    assert 'async def note(self, what: str) -> int:\n        """Add one."""' in said
    assert "async def read(self, path: str, offset: int = 0, size: int | None = None)" in said
    assert "async def write" not in said
    assert "known when it runs" in said


def test_only_capabilities_and_known_languages_are_described() -> None:
    with pytest.raises(TypeError, match="neither a capability"):
        facets.describe(5)
    with pytest.raises(ValueError, match="cobol"):
        facets.describe(search, language="cobol")  # type: ignore[arg-type]


def test_names_that_are_no_identifiers_become_some() -> None:
    said = facets.describe({"a-b": search, "1x": 2, "c d": Api()})
    assert "class c_d:" in said
    ast.parse(said)
    assert "declare const _1x" in facets.describe({"1x": 2}, "typescript")


async def test_streams_and_methods_of_stubs_are_declared(runtime: LocalRuntime) -> None:
    class Log(Actor):
        async def add(self, line: str) -> int:
            """Add a line."""
            return len(line)

        async def lines(self, start: int = 0) -> AsyncIterator[str]:
            yield str(start)

    async def rows() -> AsyncIterator[int]:
        yield 1

    log = runtime.get(Log, "l")
    env = {"rows": rows(), "add": log.add, "lines": log.lines}

    assert facets.describe(env) == (
        "rows: AsyncIterator[Any]\n\n"
        'async def add(line: str) -> int:\n    """Add a line."""\n    ...\n\n'
        "async def lines(start: int = 0) -> AsyncIterator[str]: ...\n"
    )
    assert "declare const rows: AsyncIterable<unknown>;" in facets.describe(env, "typescript")
