"""`facets ray`: what an operator types."""

from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from actors.ray.errors import ClassDiffers, NoCluster, NodeThere, NotUp
from actors.ray.forgetting import Loss
from actors.ray.settings import recall
from facets import Actor
from facets.cli import app
from facets.ray_commands import _loss


class Counter(Actor):
    async def add(self, n: int) -> int:
        self.kv["n"] = int(self.kv.get("n", 0)) + n
        return int(self.kv["n"])

    async def fail(self) -> None:
        raise ValueError("as asked")


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, namespace="facets")
    yield ray
    ray.shutdown()


@pytest.fixture
def own(ray: Any, tmp_path: Path) -> Iterator[str]:
    """A runtime of two hosts."""
    yield from brought_up(tmp_path)


@pytest.fixture(scope="module")
def root(ray: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same for all tests that leave it as it was."""
    yield from brought_up(tmp_path_factory.mktemp("shared"))


def brought_up(folder: Path) -> Iterator[str]:
    root = str(folder / "state")
    said(0, "up", root, "--hosts", "2")
    yield root
    said(0, "down", root)


def said(code: int, *words: str) -> str:
    """What `facets ray` says to these words; it must end with this code."""
    result = CliRunner().invoke(app, ["ray", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


async def use(root: str) -> None:
    async with recall(root).runtime() as runtime:
        assert [await runtime.get(Counter, f"{n}").add(n) for n in range(8)] == [*range(8)]
        with pytest.raises(ValueError, match="as asked"):
            await runtime.get(Counter, "0").fail()


def shown(root: str) -> dict[str, Any]:
    """What status says of a runtime that is sound."""
    found: dict[str, Any] = json.loads(said(0, "status", root, "--json"))
    return found


def total(found: dict[str, Any], what: str) -> int:
    return sum(one[what] for one in found["readings"].values())


def test_status_shows_the_hosts_that_up_started_and_what_they_did(root: str) -> None:
    asyncio.run(use(root))

    found = shown(root)

    hosts = found["hosts"]
    assert [one["state"] for one in hosts] == ["up", "up"]
    assert sum(one["buckets"] for one in hosts) == 4096
    assert found["version"] >= 1
    assert total(found, "actors") == 8
    assert total(found, "errors") == 1
    assert "host-1" in said(0, "status", root)


def test_up_may_be_run_again_and_changes_nothing(root: str) -> None:
    before = shown(root)

    said(0, "up", root, "--hosts", "2")

    after = shown(root)
    assert [one["pid"] for one in after["hosts"]] == [one["pid"] for one in before["hosts"]]
    assert after["version"] == before["version"]


def test_status_after_down_says_that_no_host_is_there_and_starts_none(own: str) -> None:
    root = own
    said(0, "down", root)

    for _ in range(2):
        found = json.loads(said(1, "status", root, "--json"))
        assert [one["state"] for one in found["hosts"]] == ["lost", "lost"]


def test_a_state_that_was_never_up_is_an_error_that_says_so(ray: Any, tmp_path: Path) -> None:
    with pytest.raises(NotUp, match="facets ray up"):
        said(1, "status", str(tmp_path))


def test_hosts_are_added_and_drained_and_no_actor_is_lost(own: str) -> None:
    root = own
    asyncio.run(use(root))

    grown = said(0, "scale", root, "3")
    assert " 3 hosts" in grown
    assert len(shown(root)["hosts"]) == 3
    shrunk = said(0, "drain", root, "host-0")
    assert " 2 hosts" in shrunk

    found = shown(root)
    assert [one["name"] for one in found["hosts"]] == ["host-1", "host-2"]
    assert sum(one["buckets"] for one in found["hosts"]) == 4096

    async def again() -> None:
        async with recall(root).runtime() as runtime:
            assert [await runtime.get(Counter, f"{n}").add(0) for n in range(8)] == [*range(8)]

    asyncio.run(again())


SHOWN = """
from facets import Actor

class Shown(Actor):
    async def n(self):
        return {}
"""


def test_a_class_is_deployed_from_a_module_that_lies_here_and_others_are_told(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for n in (7, 8):
        (tmp_path / f"shown_{n}.py").write_text(SHOWN.format(n))

    said(0, "deploy", root, "shown_7:Shown")

    async def call(n: int) -> int:
        async with recall(root).runtime() as runtime:
            cls = importlib.import_module(f"shown_{n}").Shown
            return int(await runtime.get(cls, "one").n())

    assert asyncio.run(call(7)) == 7
    with pytest.raises(ClassDiffers):
        asyncio.run(call(8))
    said(0, "deploy", root, "shown_8:Shown")
    with pytest.raises(ClassDiffers):
        asyncio.run(call(7))


def test_a_node_that_had_no_host_cannot_be_forgotten(root: str) -> None:
    with pytest.raises(NodeThere, match="has the disk of no host"):
        said(1, "forget", root, "192.0.2.77")


def test_what_is_lost_is_said_in_full() -> None:
    some = Loss("host-0", complete=1_767_225_600.0, seen=1_767_225_602.5)

    assert _loss(Loss("host-1")) == "host-1: everything is lost"
    assert _loss(some) == (
        "host-0: kept is what was written before 2026-01-01T00:00:00+00:00; lost are 2.5 s until "
        "2026-01-01T00:00:02+00:00, its last sign of life, and what it wrote after that"
    )


def test_hosts_outlive_the_command_that_started_them(ray: Any, tmp_path: Path) -> None:
    root, address = str(tmp_path / "state"), ray.get_runtime_context().gcs_address
    words = ["ray", "up", root, "--address", address]

    subprocess.run(
        [sys.executable, "-c", "from facets.cli import main; main()", *words],
        check=True,
        capture_output=True,
    )

    assert [one["state"] for one in shown(root)["hosts"]] == ["up"]
    assert recall(root).address == address
    said(0, "down", root)


def test_without_a_cluster_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    words = ["ray", "up", str(tmp_path), "--address", "127.0.0.1:1"]
    ran = subprocess.run(
        [sys.executable, "-c", "from facets.cli import main; main()", *words],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 1
    assert NoCluster.__name__ in ran.stderr
    assert "ray start --head" in " ".join(ran.stderr.split())
    assert not (tmp_path / "runtime.json").exists()


@pytest.mark.parametrize("words", [["--hosts", "many"], ["--durability", "some"]])
def test_options_that_make_no_sense_are_refused(tmp_path: Path, words: list[str]) -> None:
    said(2, "up", str(tmp_path), *words)
