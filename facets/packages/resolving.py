"""The search for versions that satisfy everybody.

Whether a version can run in an isolate is looked at last: the search takes the newest versions
that fit together, as if all of them could, and then refuses if one cannot. So it never arrives
at an old version that happens to be pure, which would be a package that nobody asked for. What
a version needs that cannot run is not known without running something, and does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from resolvelib import (
    AbstractProvider,
    BaseReporter,
    ResolutionImpossible,
    ResolutionTooDeep,
    Resolver,
)

from facets.packages import conflicts, limits
from facets.packages.errors import NoSuchPackage, NotPure
from facets.packages.fetching import Fetcher
from facets.packages.releases import Release, releases
from facets.packages.requirements import applies, parse
from facets.packages.wheel import too_large


@dataclass(frozen=True)
class Candidate:
    """One version of one package, with some of its extras."""

    name: str
    version: Version
    extras: frozenset[str]
    release: Release

    @property
    def key(self) -> str:
        """What the search knows it by."""
        return _key(self.name, self.extras)

    def __str__(self) -> str:
        return f"{self.key}=={self.version}"


class Provider(AbstractProvider[Requirement, Candidate, str]):
    """What the search asks about requirements and candidates."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._releases: dict[str, list[Release]] = {}
        self.missing: set[str] = set()
        """Packages that the index does not know."""

    def identify(self, requirement_or_candidate: Requirement | Candidate) -> str:
        """A package with one set of extras is one thing to decide on."""
        one = requirement_or_candidate
        if isinstance(one, Candidate):
            return one.key
        return _key(canonicalize_name(one.name), frozenset(one.extras))

    def get_preference(
        self,
        identifier: str,
        resolutions: Mapping[str, Candidate],
        candidates: Mapping[str, Iterator[Candidate]],
        information: Mapping[str, Iterator[Any]],
        backtrack_causes: Sequence[Any],
    ) -> Any:
        """What to decide on next: first what caused trouble, then what has no choice."""
        causes = {self.identify(one.requirement) for one in backtrack_causes}
        specifiers = [one.requirement.specifier for one in information[identifier]]
        exact = any(spec.operator in ("==", "===") for several in specifiers for spec in several)
        return identifier not in causes, not exact, identifier

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[Requirement]],
        incompatibilities: Mapping[str, Iterator[Candidate]],
    ) -> Iterable[Candidate]:
        """Versions that satisfy everybody so far, the newest first."""
        name = identifier.partition("[")[0]
        asked = list(requirements[identifier])
        extras = frozenset(extra for one in asked for extra in one.extras)
        if name != identifier and name in requirements:
            asked += requirements[name]
        excluded = {one.version for one in incompatibilities[identifier]}
        for release in self._matching(name, [one.specifier for one in asked]):
            if release.version not in excluded:
                yield Candidate(name, release.version, extras, release)

    def _matching(self, name: str, specifiers: Sequence[SpecifierSet]) -> Iterator[Release]:
        wanted = SpecifierSet()
        for one in specifiers:
            wanted &= one
        exact = any(spec.operator in ("==", "===") for spec in wanted)
        found = {one.version: one for one in self._known(name) if not one.yanked or exact}
        for version in wanted.filter(found):
            yield found[version]

    def _known(self, name: str) -> list[Release]:
        if name not in self._releases:
            try:
                self._releases[name] = releases(name, self._fetcher.files(name))
            except NoSuchPackage:
                self.missing.add(name)
                self._releases[name] = []
        return self._releases[name]

    def newest(self, name: str) -> Version | None:
        """The newest version that was found, for errors."""
        known = self._known(name)
        return known[0].version if known else None

    def is_satisfied_by(self, requirement: Requirement, candidate: Candidate) -> bool:
        """Whether this version will do."""
        return requirement.specifier.contains(candidate.version, prereleases=True)

    def get_dependencies(self, candidate: Candidate) -> Iterable[Requirement]:
        """What a version needs; of one that cannot run inside, nothing is known."""
        if candidate.extras:
            yield Requirement(f"{candidate.name}=={candidate.version}")
        file = candidate.release.file
        if file is None:
            return
        by = f"{candidate.name}=={candidate.version}"
        said = BytesHeaderParser().parsebytes(self._fetcher.metadata(file, candidate.release))
        for text in said.get_all("Requires-Dist", []):
            one = parse(" ".join(str(text).split()), by)
            if applies(one, candidate.extras):
                yield one


def resolve(wanted: Sequence[str], fetcher: Fetcher) -> list[Candidate]:
    """The packages that these requirements lead to, in the order of their names.

    Raises NoSuchPackage, RequirementsConflict, NotPure, and what `fetcher` does.
    """
    provider = Provider(fetcher)
    resolver = Resolver(provider, BaseReporter[Requirement, Candidate, str]())
    try:
        result = resolver.resolve([parse(one) for one in wanted], max_rounds=limits.ROUNDS)
    except ResolutionImpossible as error:
        raise conflicts.impossible(list(error.causes), provider, "for Python 3.14 ") from None
    except ResolutionTooDeep:
        raise conflicts.endless() from None
    found = [one for one in result.mapping.values() if not one.extras]
    for one in sorted(found, key=str):
        if one.release.file is None:
            path = [str(result.mapping[key]) for key in conflicts.path(one.name, result.graph)]
            raise _not_pure(one, tuple(path))
    if len(found) > limits.PINNED:
        raise too_large(" ".join(wanted)[:100], limits.PINNED, "packages")
    return sorted(found, key=lambda one: one.name)


def _key(name: str, extras: frozenset[str]) -> str:
    return f"{name}[{','.join(sorted(extras))}]" if extras else name


def _not_pure(one: Candidate, path: tuple[str, ...]) -> NotPure:
    by = f", required by {path[-1]}" if path else ""
    offered = one.release.offered
    return NotPure(
        f"{one} cannot run in an isolate{by}: the index has only {' and '.join(offered)} of it,"
        " and no wheel of pure Python; older versions are not tried",
        hint="ask for a version or another package that is pure Python, or do this part outside",
        name=one.name,
        version=str(one.version),
        required_by=path,
        offered=offered,
    )
