"""`image="science"` from an actor, where its package is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facets import Actor, Limits, LocalRuntime
from facets.errors import CpuLimit, GuestMissing, ImageError
from facets.isolates.science import image

pytestmark = pytest.mark.timeout(900)  # the first run on a machine compiles

SOURCE = """
import numpy as np
from facets import Actor

class Tool(Actor):
    migrations = ["create table means(m real)"]

    async def mean(self, array):
        self.sql("insert into means values (?)", float(array.mean()))
        return array - array.mean()

    async def means(self):
        return np.array([row[0] for row in self.sql("select m from means order by rowid")])

    async def spin(self):
        while True:
            pass

async def main(n):
    return np.arange(n).sum()
"""


class Owner(Actor, kind="science-owner"):
    async def means(self) -> list[Any]:
        isolate = self.isolates.get(
            SOURCE, image="science", limits=Limits(memory=128 << 20, cpu=2.0)
        )
        tool = self.facets.get("tool", isolate.actor("Tool"))
        centred = await tool.mean(np.array([1.0, 3.0]))
        await tool.mean(np.array([5.0]))
        with pytest.raises(CpuLimit):
            await tool.spin()
        tool = self.facets.get("tool", isolate.actor("Tool"))
        return [centred.tolist(), (await tool.means()).tolist()]

    async def run(self, n: int) -> int:
        return int(await self.isolates.run(SOURCE, n, image="science"))

    async def wrong(self) -> None:
        self.isolates.load(SOURCE, image="no-such-image")


@pytest.fixture(autouse=True, scope="module")
def _science() -> None:
    try:
        image.load()
    except GuestMissing as missing:
        pytest.skip(str(missing))


async def test_arrays_reach_a_facet_and_what_it_keeps_outlives_its_death(
    runtime: LocalRuntime,
) -> None:
    assert await runtime.get(Owner, "a").means() == [[-1.0, 1.0], [2.0, 5.0]]


async def test_one_function_runs_in_a_sandbox_of_its_own(runtime: LocalRuntime) -> None:
    assert await runtime.get(Owner, "a").run(10) == 45


async def test_an_image_that_is_not_there_is_an_error_of_its_own(runtime: LocalRuntime) -> None:
    with pytest.raises(ImageError, match="no-such-image"):
        await runtime.get(Owner, "a").wrong()
