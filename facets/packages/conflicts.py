"""Why a search for versions found none, and who led to a package: the same for every language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from facets.packages import limits
from facets.packages.errors import NoSuchPackage, RequirementsConflict


class Searched(Protocol):
    """What a search found out about packages."""

    missing: set[str]
    """Those that the index does not know."""

    def newest(self, name: str) -> object:
        """The newest version, or None."""

    def identify(self, requirement_or_candidate: Any) -> str:
        """The name of what a requirement asks for, with extras in brackets."""


def impossible(causes: Sequence[Any], found: Searched, where: str = "") -> Exception:
    """The error for requirements that nothing satisfies; `where` says for what."""
    lines = tuple(_line(one) for one in causes)
    name = min(found.identify(one.requirement).partition("[")[0] for one in causes)
    by = str(causes[0].parent) if causes[0].parent else ""
    if name in found.missing:
        suffix = f", required by {by}" if by else ""
        return NoSuchPackage(
            f"the index has no package {name!r}{suffix}", name=name, required_by=by
        )
    if len(causes) == 1:
        newest = found.newest(name)
        return NoSuchPackage(
            f"no version of {name} {where}satisfies {lines[0]}; the newest is {newest}",
            name=name, required_by=by,
        )  # fmt: skip
    return RequirementsConflict(
        "no choice of versions satisfies " + ", ".join(lines), conflict=lines
    )


def endless() -> RequirementsConflict:
    """The error for a search that was given up."""
    return RequirementsConflict(
        f"no choice of versions was found in {limits.ROUNDS} rounds",
        hint="narrow the requirements down, or pin some versions",
    )


def _line(cause: Any) -> str:
    return f"{cause.requirement} ({f'required by {cause.parent}' if cause.parent else 'asked for'})"


def path(name: str, graph: Any) -> tuple[str, ...]:
    """Who led to it, outermost first; empty if it was asked for itself."""
    path: list[str] = []
    key, seen = name, {name}
    while True:
        parents = sorted((x for x in graph.iter_parents(key) if x not in seen), key=str)
        if None in graph.iter_parents(key) or not parents:
            return tuple(reversed(path))
        key = parents[0]
        seen.add(key)
        path.append(key)
