"""Functions and files as connectors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from facets import Actor
from facets.codemode import CodeMode, FilesConnector, FunctionConnector
from facets.codemode.stubs import declare
from facets.testing import MemoryRuntime


@dataclass
class Point:
    x: int
    y: int = 0


async def move(point: Point, by: list[int], why: str | None = None) -> Point:
    """Move a point."""
    return point


class Lead(Actor):
    async def use(self, *codes: str) -> Any:
        self.fs.mkdir("/docs", exist_ok=True)
        self.fs.write_text("/docs/a.md", "one\ntwo\nthree\n")
        self.fs.write_text("/secret", "secret")
        self.fs.symlink("/secret", "/docs/link") if not self.fs.lexists("/docs/link") else None
        code = CodeMode(
            self,
            [
                FilesConnector(self.fs, "/docs"),
                FilesConnector(self.fs, "/docs", "rw", name="drafts"),
            ],
        )
        return [await code.execute(one) for one in codes]


@pytest.fixture
async def runtime() -> AsyncIterator[MemoryRuntime]:
    async with MemoryRuntime() as runtime:
        yield runtime


async def test_code_reads_the_files_below_a_folder_and_no_others(runtime: MemoryRuntime) -> None:
    read, names, out, link, write, wrote = await runtime.get(Lead, "a").use(
        "await files.read('a.md', 1, 1)",
        "await files.glob('*.md')",
        "await files.read('../secret')",
        "await files.read('link')",
        "await files.write('b.md', 'x')",
        "await drafts.write('b.md', 'x')\nawait files.read('b.md')",
    )
    assert (read.result, wrote.result) == ("two\n", "x")
    assert names.result == ["/a.md"] or names.result == ["a.md"]
    assert (out.status, link.status, write.status) == ("error", "error", "error")
    assert "UnknownTool" in write.error


async def test_schemas_of_functions_come_from_their_annotations() -> None:
    (one,) = await FunctionConnector("points", [move]).operations()
    assert declare(one) == (
        "class Point(TypedDict):\n"
        "    x: int\n"
        "    y: NotRequired[int]\n\n"
        "await points.move(point: Point, by: list[int], why: str | None = ...) -> Point\n"
        "# Move a point."
    )


def test_names_that_code_cannot_write_are_refused() -> None:
    for name in ("two words", "class", "_hidden", "9"):
        with pytest.raises(ValueError, match="no name for a connector"):
            FunctionConnector(name, [])
    with pytest.raises(ValueError, match="takes its arguments by name"):
        FunctionConnector("c", {"all": lambda *args: args})
    with pytest.raises(ValueError, match="has no function 'gone'"):
        FunctionConnector("c", [move], reverts={"gone": lambda given, result: None})
