"""What may be asked for: names and versions on an index."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from facets.packages.errors import BadRequirement
from facets.packages.target import MARKERS

HINT = "write 'name' or 'name>=1.2'"
NPM = "packages of npm are for language='javascript', without the 'npm:'"


def parse(text: str, required_by: str = "") -> Requirement:
    """One requirement; BadRequirement for one that names a place instead of a version."""
    if str(text).startswith("npm:"):
        raise _bad(f"{text[:200]!r} is of npm, and this is Python", text, required_by, NPM)
    try:
        found = Requirement(text)
    except (InvalidRequirement, TypeError) as error:
        raise _bad(
            f"{str(text)[:200]!r} is not a requirement: {error}", text, required_by
        ) from None
    if found.url:
        raise _bad(
            f"{text[:200]!r} names a place; packages come from the index only", text, required_by
        )
    return found


def applies(one: Requirement, extras: Iterable[str] = ()) -> bool:
    """Whether it is meant for this interpreter, and for one of these extras."""
    if one.marker is None:
        return True
    return any(one.marker.evaluate(MARKERS | {"extra": extra}) for extra in ("", *extras))


def normal(texts: Iterable[str]) -> tuple[str, ...]:
    """The requirements in one spelling and order, each once, those for others left out."""
    found = set()
    for text in texts:
        one = parse(text)
        if applies(one):
            extras = f"[{','.join(sorted(one.extras))}]" if one.extras else ""
            found.add(f"{canonicalize_name(one.name)}{extras}{one.specifier}")
    return tuple(sorted(found))


def _bad(message: str, text: object, required_by: str, hint: str = HINT) -> BadRequirement:
    by = f", required by {required_by}" if required_by else ""
    return BadRequirement(
        message + by, requirement=str(text)[:200], required_by=required_by,
        hint=hint,
    )  # fmt: skip
