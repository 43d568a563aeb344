"""The block at the top of a script that says what it needs.

# /// script
# requires-python = ">=3.12"
# dependencies = ["humanize"]
# ///
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any, NamedTuple

from facets.packages.errors import BadRequirement

BEGIN, END = "# /// script", "# ///"


class Block(NamedTuple):
    """What a script says about itself."""

    dependencies: tuple[str, ...] = ()
    requires_python: str = ""


def read(source: str) -> Block:
    """The block of this source, empty if it has none; BadRequirement for one that is malformed."""
    if BEGIN not in source:
        return Block()
    found = list(_blocks(source.splitlines()))
    if len(found) > 1:
        raise BadRequirement("the source has more than one block '# /// script'")
    if not found:
        return Block()
    try:
        said = tomllib.loads(found[0])
    except tomllib.TOMLDecodeError as error:
        raise BadRequirement(f"the block '# /// script' is not TOML: {error}") from None
    return _checked(said)


def _checked(said: dict[str, Any]) -> Block:
    dependencies, python = said.get("dependencies", []), said.get("requires-python", "")
    if not isinstance(dependencies, list) or not all(isinstance(x, str) for x in dependencies):
        raise BadRequirement("`dependencies` in the block '# /// script' is not a list of texts")
    if not isinstance(python, str):
        raise BadRequirement("`requires-python` in the block '# /// script' is not a text")
    return Block(tuple(dependencies), python)


def _blocks(lines: list[str]) -> Iterator[str]:
    """The content of each block. A block without an end is a comment like any other."""
    at = 0
    while at < len(lines):
        if lines[at].rstrip() == BEGIN:
            last = at + 1
            while last < len(lines) and _is_content(lines[last]):
                last += 1
            # An end inside is content: the last one counts.
            ends = [n for n in range(at + 1, last) if lines[n].rstrip() == END]
            if ends:
                yield "\n".join(line[2:] for line in lines[at + 1 : ends[-1]])
                at = last
                continue
        at += 1


def _is_content(line: str) -> bool:
    return line == "#" or line.startswith("# ")
