"""The walls: imports point down, and `import facets` stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import actors.errors
import actors.quotas.errors
import actors.ray.errors
import facets
import facets.adapters.errors
import facets.agents.errors
import facets.capabilities.errors
import facets.codemode.errors
import facets.egress.errors
import facets.errors
import facets.extensions.errors
import facets.isolates.errors
import storage.errors
from facets.errors import FacetsError

ROOT = Path(facets.__file__).parent.parent
BELOW = {"storage": set(), "actors": {"storage"}, "facets": {"storage", "actors"}}


@pytest.mark.parametrize("layer", BELOW)
def test_imports_point_down(layer: str) -> None:
    allowed = BELOW[layer] | {layer}
    for path in sorted((ROOT / layer).rglob("*.py")):
        if "guest/app" in path.as_posix():
            continue  # runs in the sandbox, where `facets` is its own module
        for name in imported(path):
            top = name.split(".")[0]
            assert top not in BELOW or top in allowed, f"{path} imports {name}"


def imported(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found


def test_importing_facets_imports_no_optional_package() -> None:
    code = "import sys, facets; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "facets" in modules
    assert not modules & {
        "ray",
        "wasmtime",
        "cloudpickle",
        "typer",
        "rich",
        "httpx",
        "httpcore",
        "starlette",
        "uvicorn",
        "mcp",
        "pydantic",
        "pydantic_ai",
        "agents",
        "langgraph",
        "langchain_core",
        "deepagents",
        "smolagents",
    }


def test_every_exported_name_is_there() -> None:
    for name in facets.__all__:
        assert getattr(facets, name) is not None
    with pytest.raises(AttributeError):
        _ = facets.nothing_of_this_name


def test_every_error_is_in_the_one_tree_and_drawn_where_it_is_defined() -> None:
    branches = (
        facets.adapters.errors,
        facets.agents.errors,
        facets.capabilities.errors,
        facets.codemode.errors,
        facets.egress.errors,
        facets.extensions.errors,
        facets.isolates.errors,
    )
    below = (storage.errors, actors.errors, actors.quotas.errors, actors.ray.errors)
    for module in (*below, *branches, facets.errors):
        for name, found in vars(module).items():
            if isinstance(found, type) and issubclass(found, Exception):
                assert issubclass(found, FacetsError)
                assert getattr(facets.errors, name) is found
                if found.__module__ == module.__name__:
                    assert name in (module.__doc__ or "")
