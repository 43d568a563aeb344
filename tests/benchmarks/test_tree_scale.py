"""The benchmark of tree operations runs, small, and leaves nothing."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks import tree_scale


async def test_every_operation_reports_a_figure_and_nothing_is_left(tmp_path: Path) -> None:
    shown: list[tree_scale.Stage] = []
    (stage,) = await tree_scale.measure(10, tmp_path, shown.append)

    assert shown == [stage]
    figures = {**stage.whole, **stage.each}
    assert {"rename", "move", "promote", "demote", "stat", "clone", "restore"} <= figures.keys()
    assert all(one > 0 for one in figures.values())
    assert len(tree_scale.table([stage]).rows) == len(figures)
    assert list(tmp_path.iterdir()) == []
