"""An actor's own files as tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from facets.codemode.functions import FunctionConnector
from storage.files import Files


def FilesConnector(  # noqa: N802 - it stands beside the classes of the other connectors
    files: Files, root: str, mode: Literal["r", "rw"] = "r", *, name: str = "files"
) -> FunctionConnector:
    """Tools for the files below `root`, which paths are relative to; with "rw" also to write.

    No path or link leads out of it. What a tool writes is in one commit with the log of its call.
    """
    view = files.view(root, mode)

    def read(path: str, start: int = 0, lines: int = 500) -> str:
        """Lines of a text file, from line `start`, the first being 0."""
        found = view.read_text(path).splitlines(keepends=True)
        return "".join(found[start : start + lines])

    def listed(path: str = "/") -> list[str]:
        """The names in a folder."""
        return view.listdir(path)

    def glob(pattern: str) -> list[str]:
        """The paths like a pattern, such as `**/*.md`."""
        return view.glob(pattern)

    def write(path: str, text: str) -> int:
        """Write a text file, in the place of what was there; its size."""
        return view.write_text(path, text)

    def delete(path: str) -> None:
        """Delete a file."""
        view.unlink(path)

    tools: dict[str, Callable[..., Any]] = {"read": read, "list": listed, "glob": glob}
    if mode == "rw":
        tools |= {"write": write, "delete": delete}
    return FunctionConnector(name, tools, local=True)
