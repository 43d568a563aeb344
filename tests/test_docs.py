"""What the documents say of limits and commands is what the code has, and their links lead on."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import facets
from facets import mcp_commands, ray_commands
from facets.agents import EventLimits, TurnLimits
from facets.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
TEXT = "\n".join(page.read_text() for page in PAGES)
COMMANDS = (ROOT / "docs" / "commands.md").read_text()


@pytest.mark.parametrize(
    "limits",
    [
        facets.StorageLimits,
        facets.JournalLimits,
        facets.HistoryLimits,
        facets.FileLimits,
        facets.Limits,
        facets.IsolateLimits,
        facets.TimerLimits,
        TurnLimits,
        EventLimits,
    ],
)
def test_every_limit_has_a_row(limits: type) -> None:
    prefix = "" if limits in (facets.StorageLimits, facets.Limits) else f"{limits.__name__}."
    names = {prefix + one.name for one in fields(limits) if one.name != "given"}

    assert {name for name in names if f"| `{name}` |" not in TEXT} == set()


def test_every_command_is_shown() -> None:
    commands = {one.name or one.callback.__name__ for one in app.registered_commands}  # type: ignore[union-attr]

    of_ray = {f"ray {one.callback.__name__}" for one in ray_commands.app.registered_commands}  # type: ignore[union-attr]

    of_mcp = {f"mcp {one.callback.__name__}" for one in mcp_commands.app.registered_commands}  # type: ignore[union-attr]

    missing = {name for name in commands | of_ray | of_mcp if f"    facets {name}" not in COMMANDS}
    assert missing == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)", page.read_text())

    assert links or page.name != "README.md"
    assert [(at, part) for at, part in links if not _leads(page, at, part)] == []


def _leads(page: Path, at: str, part: str) -> bool:
    target = page.parent / at if at else page
    if not part or not target.is_file():
        return target.exists()
    return part[1:] in map(_anchor, re.findall(r"^#+ (.*)", target.read_text(), re.MULTILINE))


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
