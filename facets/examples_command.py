"""`facets example`: the programs in `facets/examples`, listed, shown and run."""

from __future__ import annotations

import ast
import os
import runpy
import tempfile
from importlib import resources
from typing import Annotated

import typer
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

from facets.errors import FacetsError


def example(
    name: Annotated[str, typer.Argument(help="Which; without it they are listed.")] = "",
    source: Annotated[bool, typer.Option("--source", help="Show the program instead.")] = False,
) -> None:
    """Run a program that shows one thing, in a folder of its own that is deleted afterwards.

    None needs a network, a key or a model: what a model says is scripted.
    """
    found = sources()
    if not name:
        _list(found)
    elif name not in found:
        raise FacetsError(f"there is no example {name!r}", hint=f"one of {', '.join(found)}")
    elif source:
        Console().print(Syntax(found[name], "python", background_color="default"))
    else:
        _run(name, found[name])


def sources() -> dict[str, str]:
    """The text of each example, by its name."""
    files = sorted(resources.files("facets.examples").iterdir(), key=lambda one: one.name)
    return {
        one.name.removesuffix(".py"): one.read_text()
        for one in files
        if one.name.endswith(".py") and not one.name.startswith("_")
    }


def _run(name: str, text: str) -> None:
    before = os.getcwd()  # noqa: PTH109 - a string to go back to
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            runpy.run_module(f"facets.examples.{name}", run_name="__main__", alter_sys=True)
        except ModuleNotFoundError as error:
            raise FacetsError(f"{error}", hint=_needs(text)) from error
        finally:
            os.chdir(before)


def _list(found: dict[str, str]) -> None:
    table = Table("facets example", "what it shows", box=None)
    for name, text in found.items():
        table.add_row(name, _said(text).partition("\n")[0])
    Console().print(table)


def _needs(text: str) -> str:
    """What its docstring says that must be installed."""
    for line in _said(text).splitlines():
        if "pip install" in line:
            return line.partition(". ")[0]
    return "install it"


def _said(text: str) -> str:
    return ast.get_docstring(ast.parse(text)) or ""
