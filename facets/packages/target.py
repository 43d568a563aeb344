"""The interpreter inside an isolate, as requirements and wheels see it."""

from __future__ import annotations

from functools import cache

from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags
from packaging.version import Version

PYTHON = "3.14"
FULL = "3.14.0"
MARKERS = {
    "implementation_name": "cpython",
    "implementation_version": FULL,
    "os_name": "posix",
    "platform_machine": "wasm32",
    "platform_python_implementation": "CPython",
    "platform_release": "0.0.0",
    "platform_system": "wasi",
    "platform_version": "0.0.0",
    "python_full_version": FULL,
    "python_version": PYTHON,
    "sys_platform": "wasi",
}
"""What the guest itself says about each of these."""


@cache
def tags() -> dict[Tag, int]:
    """The tags of wheels that run inside, the most special first. None of them is of a platform."""
    interpreter = "cp" + PYTHON.replace(".", "")
    found = compatible_tags((3, 14), interpreter=interpreter, platforms=["any"])
    return {tag: place for place, tag in enumerate(found)}


def runs(requires_python: SpecifierSet) -> bool:
    """Whether this interpreter is among those."""
    return requires_python.contains(Version(FULL), prereleases=True)
