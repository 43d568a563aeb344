"""The packages that one isolate was given: requirements, or a lock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from facets.isolates.code import Code
from facets.packages import locking, script
from facets.packages.errors import BadLock, BadRequirement
from facets.packages.pins import Lock

if TYPE_CHECKING:
    from facets.packages.locking import AnyBundle as AnyBundle


@final
class Wanted:
    """Packages to be had at the first use of an isolate. Nothing is fetched before."""

    def __init__(self, given: Sequence[str] | Lock, code: Code, held: Lock | None = None) -> None:
        """What a block at the top of the main module asks for is added to `given`.

        With a lock nothing is resolved: it must have what the block asks for. `held` is what the
        isolate's image has already: it must have everything that is asked for.
        """
        block = _block(given, code)
        self._language = code.language
        self._lock: Lock | None = None
        self._requirements: tuple[str, ...] = ()
        if held is not None:
            if isinstance(given, Lock):
                _check_same(held, given)
            asked = given.requirements if isinstance(given, Lock) else _listed(given)
            _check_has(held, locking.normal([*asked, *block.dependencies]), "the image")
        elif isinstance(given, Lock):
            _check_language(given, code.language)
            _check_has(given, locking.normal(block.dependencies))
            self._lock = given
        elif given or block.dependencies:
            asked = [*_listed(given), *block.dependencies]
            self._requirements = locking.normal(asked, code.language)
        self._key = ""
        if self._requirements:
            index = locking.default(code.language)
            self._key = locking.key(self._requirements, index, code.language)
        _check_python(block.requires_python)

    def __bool__(self) -> bool:
        return bool(self._lock.pins if self._lock is not None else self._requirements)

    @property
    def given(self) -> object:
        """What was asked for, the same before and after it is resolved."""
        return self._requirements or self.identity

    @property
    def identity(self) -> str:
        """What distinguishes it from other packages: its lock, as soon as that is known."""
        found = self._lock or locking.known(self._key)
        return found.hash if found is not None else self._key

    async def bundle(self) -> AnyBundle | None:
        """The files; None if there are no packages. May be asked again after an error."""
        if not self:
            return None
        if self._lock is None:
            self._lock = await locking.lock(self._requirements, language=self._language)
        return await locking.load(self._lock)


def _block(given: Sequence[str] | Lock, code: Code) -> script.Block:
    if code.language == "python":
        return script.read(code.modules[code.main])
    if given and code.language not in locking.NEEDED:
        raise BadRequirement(
            f"packages are for Python and JavaScript, and this source is {code.language}"
        )
    return script.Block()


def _check_language(lock: Lock, language: str) -> None:
    of_python = language == "python"
    if lock.pins and (lock.language == "python") != of_python:
        raise BadLock(
            f"this is a lock of packages for {lock.language}, and the source is {language}",
            hint=f"await facets.packages.lock([...], language={language!r})",
        )


def _listed(given: Sequence[str]) -> Sequence[str]:
    if isinstance(given, str):
        raise TypeError("packages is a text; write packages=['name'], a list of texts")
    return given


def _check_python(requires: str) -> None:
    if not requires:
        return
    locking.check_available()
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    from facets.packages.target import FULL, runs

    try:
        fits = runs(SpecifierSet(requires))
    except InvalidSpecifier as error:
        raise BadRequirement(f"`requires-python` of the source: {error}") from None
    if not fits:
        raise BadRequirement(
            f"the source wants Python {requires}, and an isolate is Python {FULL}",
            requirement=f"python{requires}",
        )


def _check_same(held: Lock, given: Lock) -> None:
    """The image has every wheel of the lock."""
    missing = [one for one in given.pins if one.sha256 not in {pin.sha256 for pin in held.pins}]
    if missing:
        raise BadLock(f"the image does not have {missing[0].name} {missing[0].version} of the lock")


def _check_has(lock: Lock, wanted: Sequence[str], where: str = "the lock") -> None:
    """The lock has everything that a source asks for."""
    if not wanted:
        return
    from facets.packages.requirements import parse

    versions = {one.name: one.version for one in lock.pins}
    for text in wanted:
        one = parse(text)
        version = versions.get(one.name)
        if version is None or not one.specifier.contains(version, prereleases=True):
            raise BadLock(
                f"the source needs {text}, and {where} has {version or 'no such package'}",
                hint=f"make {where} of everything that the source needs",
            )
