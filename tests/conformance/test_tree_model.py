"""Whatever is done to a tree of actors, in whatever order, it holds what the model says."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.conformance.tree_model import World

NAMES = st.sampled_from(["a", "b", "a/b"])
ROOTS = st.sampled_from(["x", "y"])
PATHS = st.builds(lambda root, rest: [root, *rest], ROOTS, st.lists(NAMES, max_size=2))
FACETS = st.builds(lambda root, rest: [root, *rest], ROOTS, st.lists(NAMES, min_size=1, max_size=3))
VALUES = st.integers(0, 99)
SECONDS = st.sampled_from([0.0, 1.0, 30.0, 100.0])


class Trees(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World()
        self.do(self.world.open())

    def do(self, work: Any) -> None:
        self.runner.run(work)

    def teardown(self) -> None:
        try:
            self.do(self.world.check())
            self.do(self.world.restart())
        finally:
            self.do(self.world.runtime.close())
            self.runner.close()

    @rule(path=PATHS, value=VALUES)
    def set(self, path: Any, value: int) -> None:
        self.do(self.world.set(path, value))

    @rule(path=PATHS, first=VALUES, second=VALUES)
    def fail(self, path: Any, first: int, second: int) -> None:
        self.do(self.world.fail(path, first, second))

    @rule(path=PATHS, value=VALUES, names=st.lists(NAMES, unique=True), fail=st.booleans())
    def set_together(self, path: Any, value: int, names: list[str], fail: bool) -> None:
        self.do(self.world.set_together(path, names, value, fail))

    @rule(path=PATHS, name=st.sampled_from(["one", "two"]), seconds=SECONDS, n=VALUES)
    def schedule(self, path: Any, name: str, seconds: float, n: int) -> None:
        self.do(self.world.schedule(path, name, seconds + 0.5, n))

    @rule(path=PATHS, name=st.sampled_from(["one", "two"]))
    def cancel(self, path: Any, name: str) -> None:
        self.do(self.world.cancel(path, name))

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.do(self.world.run(seconds))

    @rule(path=FACETS)
    def abort(self, path: Any) -> None:
        self.do(self.world.abort(path))

    @rule(path=FACETS, value=VALUES, how=st.sampled_from(["method", "callback"]))
    def abort_amid_a_step(self, path: Any, value: int, how: str) -> None:
        self.do(self.world.abort_amid_a_step(path, value, how))

    @rule(path=PATHS)
    def delete(self, path: Any) -> None:
        self.do(self.world.delete(path))

    @rule(path=FACETS, name=NAMES)
    def clone(self, path: Any, name: str) -> None:
        self.do(self.world.clone(path, name))

    @rule(source=ROOTS, name=ROOTS)
    def clone_root(self, source: str, name: str) -> None:
        self.do(self.world.clone([source], name))

    @rule(path=FACETS, name=NAMES)
    def rename(self, path: Any, name: str) -> None:
        self.do(self.world.rename(path, name))

    @rule(source=ROOTS, name=ROOTS)
    def rename_root(self, source: str, name: str) -> None:
        self.do(self.world.rename([source], name))

    @rule(path=FACETS, to=PATHS, name=NAMES)
    def move(self, path: Any, to: Any, name: str) -> None:
        self.do(self.world.move(path, to, name))

    @rule(path=FACETS, name=ROOTS)
    def promote(self, path: Any, name: str) -> None:
        self.do(self.world.promote(path, name))

    @rule(root=ROOTS, to=PATHS, name=NAMES)
    def demote(self, root: str, to: Any, name: str) -> None:
        self.do(self.world.move([root], to, name))

    @rule(root=ROOTS)
    def mark(self, root: str) -> None:
        self.do(self.world.mark(root))

    @rule(number=st.integers(0, 7))
    def restore(self, number: int) -> None:
        self.do(self.world.restore(number))

    @rule()
    def check(self) -> None:
        self.do(self.world.check())

    @rule()
    def restart(self) -> None:
        self.do(self.world.restart())

    @rule()
    def crash(self) -> None:
        self.do(self.world.crash())

    @rule(path=PATHS, values=st.lists(VALUES, min_size=1, max_size=5), turns=st.integers(0, 15))
    def crash_amid_writes(self, path: Any, values: list[int], turns: int) -> None:
        self.do(self.world.crash_amid_writes(path, values, turns))

    @rule(
        path=PATHS,
        names=st.lists(NAMES, min_size=2, unique=True),
        value=st.integers(100, 199),
        turns=st.integers(0, 15),
    )
    def crash_amid_a_walk(self, path: Any, names: list[str], value: int, turns: int) -> None:
        self.do(self.world.crash_amid_a_walk(path, names, value, turns))


def test_a_tree_holds_what_the_model_says_after_anything() -> None:
    run_state_machine_as_test(
        Trees,
        settings=settings(
            max_examples=25,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
