"""`facets ray`: what an operator types."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from actors.ray.errors import NoCluster, NotUp
from actors.ray.settings import recall
from facets import Actor
from facets.cli import app


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
def root(ray: Any, tmp_path: Path) -> Iterator[str]:
    """A runtime of two hosts."""
    root = str(tmp_path / "state")
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


def test_status_shows_the_hosts_that_up_started_and_what_they_did(root: str) -> None:
    asyncio.run(use(root))

    found = json.loads(said(0, "status", root, "--json"))

    hosts = found["hosts"]
    assert [one["state"] for one in hosts] == ["up", "up"]
    assert sum(one["buckets"] for one in hosts) == 4096
    assert found["version"] >= 1
    assert sum(one["actors"] for one in found["readings"].values()) == 8
    assert sum(one["errors"] for one in found["readings"].values()) == 1
    assert "host-1" in said(0, "status", root)


def test_up_may_be_run_again_and_changes_nothing(root: str) -> None:
    asyncio.run(use(root))

    said(0, "up", root, "--hosts", "2")

    found = json.loads(said(0, "status", root, "--json"))
    assert sum(one["actors"] for one in found["readings"].values()) == 8


def test_status_after_down_says_that_no_host_is_there_and_starts_none(root: str) -> None:
    said(0, "down", root)

    for _ in range(2):
        found = json.loads(said(1, "status", root, "--json"))
        assert [one["state"] for one in found["hosts"]] == ["lost", "lost"]


def test_a_state_that_was_never_up_is_an_error_that_says_so(ray: Any, tmp_path: Path) -> None:
    with pytest.raises(NotUp, match="facets ray up"):
        said(1, "status", str(tmp_path))


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
