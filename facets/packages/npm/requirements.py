"""What may be asked for: names, and ranges of versions, on a registry."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import nodesemver

from facets.packages.errors import BadRequirement

HINT = "write 'name', 'name@1' or '@scope/name@^1.2'"
NAME = re.compile(r"(@[a-z0-9~_-][a-z0-9._~-]*/)?[A-Za-z0-9~_-][A-Za-z0-9._~-]*")
"""Names as a registry has them; capitals only in old ones."""
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
OURS = frozenset({"facets"})
"""Modules of the runtime inside: a package of that name could never be imported."""


class Requirement(NamedTuple):
    """A package, and which of its versions."""

    name: str
    range: str = ""
    """A range as npm understands it, or a tag; "" is any, the one tagged `latest` first."""

    @property
    def is_tag(self) -> bool:
        """Whether `range` is the name of a tag."""
        return bool(_TAG.fullmatch(self.range)) and nodesemver.valid_range(self.range, True) is None

    def __str__(self) -> str:
        return f"{self.name}@{self.range}" if self.range else self.name


def parse(text: str) -> Requirement:
    """One requirement, as `npm install` takes it; BadRequirement for anything else."""
    if not isinstance(text, str):
        raise _bad(f"{str(text)[:200]!r} is not a requirement", text)
    name, _, wanted = text.strip().rpartition("@") if "@" in text.strip()[1:] else (text, "", "")
    return made(name.strip(), wanted)


def made(name: str, wanted: str, required_by: str = "") -> Requirement:
    """A requirement of these parts; `required_by` is the package that says so."""
    text = f"{name}@{wanted}" if wanted else name
    if not NAME.fullmatch(name) or len(name) > 214:
        raise _bad(f"{text[:200]!r} is not the name of a package", text, required_by)
    if name in OURS:
        raise _bad(f"{name!r} is the runtime's own module inside", text, required_by)
    one = Requirement(name, "" if wanted.strip() in ("*", "x", "X") else " ".join(wanted.split()))
    if one.range and not one.is_tag and nodesemver.valid_range(one.range, True) is None:
        raise _bad(
            f"{text[:200]!r} is not a range of versions; packages come from the registry only",
            text, required_by,
        )  # fmt: skip
    return one


def normal(texts: Iterable[str]) -> tuple[str, ...]:
    """The requirements in one spelling and order, each once."""
    return tuple(sorted({str(parse(text)) for text in texts}))


def _bad(message: str, text: object, required_by: str = "") -> BadRequirement:
    by = f", required by {required_by}" if required_by else ""
    return BadRequirement(
        message + by, requirement=str(text)[:200], required_by=required_by, hint=HINT
    )
