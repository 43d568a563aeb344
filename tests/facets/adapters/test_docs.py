"""What docs/adapters.md says is there."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "adapters.md").read_text()
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
ROWS = re.findall(r"^\| [\w -]+ \| `([\w-]+)` \| `([\w.]+)` \| (.*) \|$", PAGE, re.M)


@pytest.mark.parametrize(("extra", "module", "names"), ROWS)
def test_every_module_of_the_table_has_its_names_and_its_extra(
    extra: str, module: str, names: str
) -> None:
    assert extra in EXTRAS
    for name in re.findall(r"`(\w+)`", names):
        assert getattr(import_module(module), name).__module__ == module


FRAMEWORKS = {"pydantic_ai", "agents", "langgraph", "deepagents", "smolagents"}
IMPORTED = {
    "pydantic_ai": {"pydantic_ai"},
    "openai_agents": {"agents"},
    "langgraph": {"langgraph"},
    "deepagents": {"deepagents", "langgraph"},
    "smolagents": {"smolagents"},
}


@pytest.mark.parametrize("module", IMPORTED)
def test_an_adapter_imports_its_own_framework_and_no_other(module: str) -> None:
    code = f"import sys, facets.adapters.{module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert set(done.stdout.split()) & FRAMEWORKS == IMPORTED[module]


def test_every_adapter_has_a_row_and_what_is_imported_is_there() -> None:
    known = {module for _, module, _ in ROWS}
    assert len(known) == 5
    for module, names in re.findall(r"^from (facets\.adapters\.\w+) import (.*)$", PAGE, re.M):
        assert module in known
        assert all(hasattr(import_module(module), name) for name in names.split(", "))


@pytest.mark.parametrize("block", re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S))
def test_every_snippet_is_python(block: str) -> None:
    compile(block, "docs/adapters.md", "exec", flags=0x2000)  # await is allowed outside functions


@pytest.mark.parametrize("name", re.findall(r"`facets example (\w+)`", PAGE))
def test_every_example_of_the_page_exists(name: str) -> None:
    assert (ROOT / "facets" / "examples" / f"{name}.py").exists()
