"""The search for versions that satisfy everybody, one of each package.

Versions are preferred as npm prefers them: the one tagged `latest` if it fits, then the newest,
and those that are deprecated last. Whether one can be loaded is looked at when all are chosen;
an older one is never taken for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import nodesemver
from resolvelib import (
    AbstractProvider,
    BaseReporter,
    ResolutionImpossible,
    ResolutionTooDeep,
    Resolver,
)

from facets.packages import conflicts, limits
from facets.packages.errors import NoSuchPackage
from facets.packages.npm.fetching import Fetcher
from facets.packages.npm.registry import Release, Releases
from facets.packages.npm.requirements import Requirement, made, parse
from facets.packages.wheel import too_large


class Candidate(NamedTuple):
    """One version of one package."""

    name: str
    release: Release

    def __str__(self) -> str:
        return f"{self.name}@{self.release.version}"


class Found(NamedTuple):
    """What was chosen, in the order of names, and who led to each."""

    chosen: list[Candidate]
    required_by: dict[str, tuple[str, ...]]


class Provider(AbstractProvider[Requirement, Candidate, str]):
    """What the search asks about requirements and candidates."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._releases: dict[str, Releases] = {}
        self.missing: set[str] = set()

    def identify(self, requirement_or_candidate: Requirement | Candidate) -> str:
        """There is one version of each package."""
        return requirement_or_candidate.name

    def get_preference(
        self,
        identifier: str,
        resolutions: Mapping[str, Candidate],
        candidates: Mapping[str, Iterator[Candidate]],
        information: Mapping[str, Iterator[Any]],
        backtrack_causes: Sequence[Any],
    ) -> Any:
        """What to decide on next: first what caused trouble."""
        return identifier not in {one.requirement.name for one in backtrack_causes}, identifier

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[Requirement]],
        incompatibilities: Mapping[str, Iterator[Candidate]],
    ) -> Iterable[Candidate]:
        """Versions that satisfy everybody so far, the preferred first."""
        asked = list(requirements[identifier])
        excluded = {one.release.version for one in incompatibilities[identifier]}
        known = self._known(identifier)
        latest = known.tags.get("latest")
        fits = [
            one
            for one in known.every
            if one.version not in excluded and all(self._fits(one, each) for each in asked)
        ]
        fits.sort(key=lambda one: (one.deprecated, one.version != latest))
        return [Candidate(identifier, one) for one in fits]

    def is_satisfied_by(self, requirement: Requirement, candidate: Candidate) -> bool:
        """Whether this version will do."""
        return self._fits(candidate.release, requirement)

    def get_dependencies(self, candidate: Candidate) -> Iterable[Requirement]:
        """What a version needs."""
        for name, wanted in candidate.release.needs.items():
            yield made(name, wanted, str(candidate))

    def newest(self, name: str) -> str | None:
        """The newest version that was found, for errors."""
        known = self._known(name).every
        return known[0].version if known else None

    def _fits(self, release: Release, asked: Requirement) -> bool:
        tags = self._known(asked.name).tags
        if asked.is_tag:
            return tags.get(asked.range) == release.version
        if not asked.range and tags.get("latest") == release.version:
            return True  # it may be the only one, and one before a release
        return bool(nodesemver.satisfies(release.version, asked.range or "*", True))

    def _known(self, name: str) -> Releases:
        if name not in self._releases:
            try:
                self._releases[name] = self._fetcher.releases(name)
            except NoSuchPackage:
                self.missing.add(name)
                self._releases[name] = Releases([], {})
        return self._releases[name]


def resolve(wanted: Sequence[str], fetcher: Fetcher) -> Found:
    """The packages that these requirements lead to.

    Raises BadRequirement, NoSuchPackage, RequirementsConflict, PackagesTooLarge, IndexFailed.
    """
    provider = Provider(fetcher)
    resolver = Resolver(provider, BaseReporter[Requirement, Candidate, str]())
    try:
        result = resolver.resolve([parse(one) for one in wanted], max_rounds=limits.ROUNDS)
    except ResolutionImpossible as error:
        raise conflicts.impossible(list(error.causes), provider) from None
    except ResolutionTooDeep:
        raise conflicts.endless() from None
    if len(result.mapping) > limits.PINNED:
        raise too_large(" ".join(wanted)[:100], limits.PINNED, "packages")
    chosen = [result.mapping[name] for name in sorted(result.mapping)]
    paths = {
        one.name: tuple(
            [str(result.mapping[name]) for name in conflicts.path(one.name, result.graph)]
        )
        for one in chosen
    }
    return Found(chosen, paths)
