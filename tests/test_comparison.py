"""The comparison names only what is there."""

from __future__ import annotations

import re
from functools import reduce
from pathlib import Path

import pytest

import facets

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "comparison.md").read_text()
NAMES = sorted(set(re.findall(r"`(facets(?:\.\w+)+)`", PAGE)))
ROWS = re.findall(r"^\| (?!they have|---).*$", PAGE, re.M)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_on_the_page_exists(name: str) -> None:
    reduce(getattr, name.split(".")[1:], facets)


def test_names_and_systems_are_found_on_the_page() -> None:
    assert len(NAMES) > 40
    systems = ["Sub-agents", "Agent-tools", "Fibers", "Tasks", "Streams", "Scheduler", "Hooks",
               "Turn API", "Actions", "Sessions", "Tools", "Extensions", "Scheduled tasks",
               "Execution ladder", "Executors", "Durable runtime", "Manifest"]  # fmt: skip
    assert [one for one in systems if f"| **{one}" not in PAGE] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:24])
def test_every_row_says_all_four_things(row: str) -> None:
    cells = [one.strip() for one in row.strip("|").split("|")]

    assert len(cells) == 4
    assert all(cells)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", PAGE))
def test_every_link_leads_to_a_heading_that_is_there(link: str) -> None:
    file, _, heading = link.partition("#")
    titles = re.findall(r"^#+ (.*)$", (DOCS / file).read_text(), re.M)

    assert heading in {"", *(one.lower().replace(" ", "-") for one in titles)}
