"""The packages that are used without their compiled parts, from the real index if it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facets import Actor, LocalRuntime, packages
from facets.errors import IndexFailed, NoSuchPackage
from facets.packages.fallbacks import FALLBACKS
from tests.isolates.conftest import guest as guest

USES = {
    "markupsafe": ("markupsafe.escape('<') + markupsafe.Markup('<b>')", "&lt;<b>"),
    "msgpack": ("msgpack.unpackb(msgpack.packb({'a': [1, b'x', None]}))", {"a": [1, b"x", None]}),
    "pyyaml": ("yaml.safe_load(yaml.safe_dump({'a': [1, 'x']}))", {"a": [1, "x"]}),
}
MODULES = {"pyyaml": "yaml"}


class Lead(Actor):
    async def run(self, source: str, given: packages.Lock) -> Any:
        return await self.isolates.run(source, packages=given)


def test_every_listed_package_is_used_here() -> None:
    assert USES.keys() == FALLBACKS.keys()


@pytest.mark.usefixtures("guest")
@pytest.mark.parametrize("name", sorted(USES))
async def test_a_listed_package_works_without_its_compiled_parts(name: str, tmp_path: Path) -> None:
    try:
        lock = await packages.lock([name])
        await packages.locking.load(lock)
    except (IndexFailed, NoSuchPackage) as error:
        pytest.skip(f"no index: {error}")
    used, expected = USES[name]
    source = f"import {MODULES.get(name, name)}\nasync def main(): return {used}"
    async with LocalRuntime(tmp_path) as runtime:
        assert await runtime.get(Lead, "a").run(source, lock) == expected
