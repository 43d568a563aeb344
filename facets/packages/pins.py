"""A lock: exactly which files the packages of an isolate are. A value, to be kept and compared."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from facets.packages.errors import BadLock

VERSION = 1
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_FILENAME = re.compile(r"[A-Za-z0-9_.!+-]{1,255}\.whl")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NPM_NAME = re.compile(r"(@[a-z0-9~_-][a-z0-9._~-]*/)?[A-Za-z0-9~_-][A-Za-z0-9._~-]*")
_TARBALL = re.compile(r"[A-Za-z0-9_.~+-]{1,255}\.tgz")
_INTEGRITY = re.compile(r"sha512-[A-Za-z0-9+/]{86}==")


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of a lock."""

    name: str
    version: str
    url: str
    """Where it was found, without credentials. Content is known by its hash alone."""
    sha256: str
    """Of a wheel; a tarball of npm has `integrity` and "" here."""
    filename: str
    stripped: bool = False
    """Whether its compiled files are left out; see `fallbacks`."""
    integrity: str = ""
    """Of a tarball, as npm's own locks say it: "sha512-..."."""


@dataclass(frozen=True)
class Lock:
    """Packages by name, version and hash, in the order of their names.

    Plain data: it can be pickled, and `dump` and `parse` make it a text and back. Two locks are
    equal, and isolates with them are the same code, if they name the same files.
    """

    pins: tuple[Pin, ...] = ()
    requirements: tuple[str, ...] = ()
    """What it was made for."""

    @cached_property
    def hash(self) -> str:
        """SHA-256 of what it pins."""
        content = [
            [one.name, one.version, one.integrity or one.sha256, one.stripped] for one in self.pins
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @property
    def language(self) -> str:
        """ "python" or "javascript"; "" if nothing is in it."""
        return ("javascript" if self.pins[0].integrity else "python") if self.pins else ""

    def dump(self) -> str:
        """The lock as a text of JSON, a line for each package."""
        pins = ",\n".join(f"    {json.dumps(asdict(one))}" for one in self.pins)
        head = f'  "version": {VERSION},\n  "requirements": {json.dumps(self.requirements)},\n'
        return f'{{\n{head}  "packages": [\n{pins}\n  ]\n}}\n'

    @classmethod
    def parse(cls, text: str) -> Lock:
        """The lock that `dump` printed; BadLock for anything else."""
        try:
            said = json.loads(text)
            if said["version"] != VERSION:
                raise BadLock(f"this is a lock of version {said['version']!r}, not {VERSION}")
            pins = tuple(_pin(one) for one in said["packages"])
            asked = tuple(str(one) for one in said["requirements"])
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, BadLock):
                raise
            raise BadLock(f"this is not a lock: {type(error).__name__}: {error}"[:300]) from None
        if [one.name for one in pins] != sorted({one.name for one in pins}):
            raise BadLock("the packages of this lock are not in order, each once")
        if len({bool(one.integrity) for one in pins}) > 1:
            raise BadLock("this lock has packages of Python and of npm")
        return cls(pins, asked)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lock) and self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)


def _pin(said: dict[str, Any]) -> Pin:
    one = Pin(**said)
    texts = (one.name, one.version, one.url, one.sha256, one.filename, one.integrity)
    if not all(type(text) is str for text in texts) or type(one.stripped) is not bool:
        raise BadLock(f"the lock's line about {one.name!r} has values of the wrong types")
    if one.integrity:
        return _of_npm(one)
    if not (_NAME.fullmatch(one.name) and _FILENAME.fullmatch(one.filename)):
        raise BadLock(f"{one.name!r} in {one.filename!r} is not a package")
    if not _SHA256.fullmatch(one.sha256):
        raise BadLock(f"{one.sha256[:80]!r} of {one.name} is not a SHA-256")
    return one


def _of_npm(one: Pin) -> Pin:
    if not (_NPM_NAME.fullmatch(one.name) and _TARBALL.fullmatch(one.filename)):
        raise BadLock(f"{one.name!r} in {one.filename!r} is not a package of npm")
    if one.sha256 or one.stripped or not _INTEGRITY.fullmatch(one.integrity):
        raise BadLock(f"{one.integrity[:120]!r} of {one.name} is not a SHA-512")
    return one
