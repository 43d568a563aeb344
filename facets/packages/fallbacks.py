"""Packages whose compiled parts have a twin in Python that they use without them.

Their wheels are of a platform. Of one of these, the compiled files are left out, after its hash
was checked; the rest is what runs. A package is listed when its source was read for how it falls
back, and when it was imported and used in an isolate without them; `tests/packages` does that
for each.
"""

from __future__ import annotations

COMPILED = (".so", ".pyd", ".dll", ".dylib")

FALLBACKS = {
    "markupsafe": "`_speedups` or `_native`",
    "msgpack": "`_cmsgpack` or `fallback`",
    "pyyaml": "`_yaml` or the loaders and dumpers of `yaml` itself",
}
"""Name of the package: which module stands in for which."""


def is_compiled(path: str) -> bool:
    """Whether this file is machine code."""
    name = path.rpartition("/")[2].lower()
    return name.endswith(COMPILED) or ".so." in name
