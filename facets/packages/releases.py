"""The releases of one package, and which file of each can be used in an isolate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from facets.packages.fallbacks import FALLBACKS
from facets.packages.pages import File
from facets.packages.target import runs, tags


class Release(NamedTuple):
    """One version of a package."""

    version: Version
    file: File | None
    """The wheel that is used; None if none can be."""
    stripped: bool
    yanked: bool
    offered: tuple[str, ...]
    """What there is, for errors."""


class _Wheel(NamedTuple):
    file: File
    tags: frozenset[Tag]


def releases(name: str, files: Iterable[File]) -> list[Release]:
    """The versions for this interpreter, the newest first."""
    wheels: dict[Version, list[_Wheel]] = defaultdict(list)
    sources: dict[Version, list[File]] = defaultdict(list)
    for file in files:
        if _is_for_us(file):
            _sort(name, file, wheels, sources)
    versions = sorted(wheels.keys() | sources.keys(), reverse=True)
    return [_release(name, one, wheels[one], sources[one]) for one in versions]


def _is_for_us(file: File) -> bool:
    try:
        return runs(SpecifierSet(file.requires_python))
    except InvalidSpecifier:
        return True  # as installers do: old files say things like ">=2.*"


def _sort(
    name: str,
    file: File,
    wheels: dict[Version, list[_Wheel]],
    sources: dict[Version, list[File]],
) -> None:
    try:
        if file.filename.endswith(".whl"):
            found, version, _, its = parse_wheel_filename(file.filename)
            if found == name:
                wheels[version].append(_Wheel(file, its))
        else:
            found, version = parse_sdist_filename(file.filename)
            if found == name:
                sources[version].append(file)
    except (InvalidWheelFilename, InvalidSdistFilename):
        return  # eggs, installers, and names from before there were rules


def _release(
    name: str, version: Version, wheels: Sequence[_Wheel], sources: Sequence[File]
) -> Release:
    usable = [one for one in wheels if not one.file.yanked] or wheels
    best = _best(usable)
    stripped = best is None and name in FALLBACKS
    if stripped:
        best = _twin(usable)
    every = [one.file for one in wheels] + list(sources)
    return Release(
        version,
        best.file if best else None,
        stripped,
        all(file.yanked for file in every),
        _offered(wheels, sources),
    )


def _best(wheels: Iterable[_Wheel]) -> _Wheel | None:
    """The wheel with the most special of the tags that run here; one name before another."""
    known = tags()
    found = [
        (min(known[tag] for tag in one.tags & known.keys()), one.file.filename, one)
        for one in wheels
        if one.tags & known.keys()
    ]
    return min(found)[2] if found else None


def _twin(wheels: Iterable[_Wheel]) -> _Wheel | None:
    """The wheel whose Python parts are used: the same one on every machine."""
    found = [
        (one.file.filename, one)
        for one in wheels
        for tag in one.tags
        if tag.interpreter == tag.abi == "cp314"
        and tag.platform.startswith("manylinux")
        and tag.platform.endswith("x86_64")
    ]
    return min(found)[1] if found else None


def _offered(wheels: Sequence[_Wheel], sources: Sequence[File]) -> tuple[str, ...]:
    count = len(wheels)
    several = [f"{count} wheel{'s' * (count > 1)} of other platforms"] if wheels else []
    return (*(["an sdist"] if sources else []), *several)
