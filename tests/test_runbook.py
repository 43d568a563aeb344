"""The runbook names only what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import facets
from facets.cli import app

DOCS = Path(__file__).parents[1] / "docs"
BOOK = (DOCS / "runbook.md").read_text()
SHELL = [
    words
    for page in DOCS.glob("*.md")
    for words in re.findall(r"(?:^    |`)facets ((?:ray )?[a-z]+[^\n`#]*)", page.read_text(), re.M)
]


@pytest.mark.parametrize("words", sorted(set(SHELL)))
def test_every_command_exists_and_has_the_options_that_are_shown(words: str) -> None:
    first, *rest = words.split()
    command = [first, rest[0]] if first in ("ray", "mcp") and rest else [first]

    said = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})

    assert said.exit_code == 0, said.output
    options = re.findall(r"--[a-z-]+", words)
    assert [one for one in options if one not in said.output] == []


def test_every_error_in_the_table_is_one_of_ours() -> None:
    named = set(re.findall(r"^\| `([A-Z]\w+)`", BOOK, re.M))

    assert len(named) > 15
    assert {one for one in named if not hasattr(facets.errors, one)} == set()


def test_every_error_of_a_cluster_that_a_caller_can_get_is_explained() -> None:
    from actors.ray import errors

    found = [one for one in vars(errors).values() if isinstance(one, type)]
    own = {one.__name__ for one in found if one.__module__ == errors.__name__}
    never = {"NotOwner", "Superseded"}  # links see to these
    programs = {"OtherHost", "RemoteError"}  # about what a program asked for, not about hosts

    assert {one for one in own - never - programs if f"`{one}`" not in BOOK} == set()


def test_the_hosts_states_are_explained() -> None:
    from typing import get_args

    from actors.ray.health import HostState

    assert {one for one in get_args(HostState) if f"| `{one}` |" not in BOOK} == set()
