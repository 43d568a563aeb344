"""The table of what is checked where names tests that there are."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from facets.testing.conformance import RuntimeConformance

TABLE = (Path(__file__).parent / "README.md").read_text()
ROOT = Path(__file__).parents[2]
GROUPS = ("life", "copies", "names", "family", "steps", "calls", "clockwork")


def named() -> list[tuple[str, str]]:
    """Each group and the name of a test that the table says it has."""
    found: list[tuple[str, str]] = []
    for group, names in re.findall(rf"\b({'|'.join(GROUPS)}): ((?:`\w+`(?:, )?)+)", TABLE):
        found += [(group, name) for name in re.findall(r"`(\w+)`", names)]
    return found


def test_every_test_that_the_table_names_is_in_its_group() -> None:
    assert len(named()) > 60
    for group, name in named():
        module = import_module(f"facets.testing.conformance.{group}")
        made = [one for one in vars(module).values() if isinstance(one, type)]
        assert any(f"test_{name}" in vars(one) for one in made), (group, name)


def test_every_test_of_the_suite_is_run_on_our_runtimes() -> None:
    tests = {name for name in dir(RuntimeConformance) if name.startswith("test_")}
    for group in GROUPS:
        source = import_module(f"facets.testing.conformance.{group}").__file__
        assert source is not None
        written = re.findall(r"    async def (test_\w+)", Path(source).read_text())
        assert set(written) <= tests, group


def test_every_file_that_the_table_names_is_there() -> None:
    for path in re.findall(r"`(tests/[\w/]+\.py)`", TABLE):
        assert (ROOT / path).is_file(), path
