"""The scale benchmark runs, small, and its directory is one of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from facets import LocalRuntime
from storage import Store
from storage.doctor import examine
from tests.benchmarks import scale


async def test_every_stage_reports_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "SAMPLES", 5)
    shown: list[int] = []
    stages = await scale.measure(100, tmp_path, lambda stage: shown.append(stage.facets))
    assert shown == [10, 100]
    assert len(scale.table(stages).rows) > 10
    assert list(tmp_path.iterdir()) == []


async def test_planted_facets_are_facets_like_any(tmp_path: Path) -> None:
    root = tmp_path / "state"
    made = scale.Scale(root)
    async with LocalRuntime(root) as runtime:
        await made._grow(runtime, 100)
    scale.plant(root, 1, 3)
    async with LocalRuntime(root) as runtime:
        trunk = made.trunk(runtime, 2)
        assert await trunk.get("99") == 1
        assert await trunk.add("99") == 2
        assert await made.trunk(runtime, 1).get("99") == 1
    Store.open(root).close()
    assert not examine(root).findings
