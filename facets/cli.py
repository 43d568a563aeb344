"""The `facets` command."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import asdict
from importlib import import_module, resources
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text
from rich.tree import Tree

from facets import (
    diff_command,
    examples_command,
    extensions_command,
    mcp_commands,
    ray_commands,
    state_commands,
)
from facets.demo.process import run_and_kill
from facets.demo.story import Job, second_act
from facets.errors import FacetsError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Durable actors with facets and isolates."
)


app.command()(state_commands.doctor)
app.command()(state_commands.export)
app.command()(state_commands.restore)
app.command()(state_commands.tree)
app.command()(state_commands.rename)
app.command()(diff_command.diff)
app.command("import")(state_commands.import_)
app.command()(examples_command.example)
app.command()(extensions_command.extensions)
app.add_typer(ray_commands.app, name="ray")
app.add_typer(mcp_commands.app, name="mcp")


@app.command()
def demo(
    tool: Annotated[str, typer.Option(help="A file with the tool's source, or - for stdin.")] = "",
    cls: Annotated[str, typer.Option("--class", help="The Actor class in it.")] = "Tool",
    call: Annotated[str, typer.Option(help="The method to call.")] = "run",
    args: Annotated[str, typer.Option(help="Its arguments, a JSON list.")] = "",
    state: Annotated[str, typer.Option(help="Keep state here; run again to continue.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a tool that a model wrote as a durable facet in a sandbox, and try to lose its data.

    The tool is called four times: twice in a row, once after its facet was aborted, and once
    by a new process after the first was killed with SIGKILL.
    """
    job = Job(_source(tool), cls, call, _arguments(args, default=[1000] if not tool else []))
    console = Console(stderr=as_json)
    _compile_guest(console)
    with tempfile.TemporaryDirectory() if not state else nullcontext(state) as directory:
        report = run_and_kill(Path(directory), job)
        last, recovered = asyncio.run(second_act(Path(directory), job))
    report["timings_ms"]["recover"] = recovered
    if as_json:
        print(json.dumps(_summary(report, last), default=repr))  # noqa: T201 - the output asked for
    else:
        console.print(_tree(report, last, job, state))


@app.command()
def bench(
    only: Annotated[str, typer.Option(help="Run only benchmarks whose name contains this.")] = "",
    peer: Annotated[
        bool, typer.Option("--peer", help="Beside workerd, a process, and other sandboxes.")
    ] = False,
    ray: Annotated[bool, typer.Option("--ray", help="On a local Ray, beside bare actors.")] = False,
    scale: Annotated[
        int, typer.Option(help="Instead: cost against count, up to so many facets on this disk.")
    ] = 0,
    trees: Annotated[
        int, typer.Option(help="Instead: tree operations, on trees of up to so many facets.")
    ] = 0,
    code: Annotated[
        bool, typer.Option("--code", help="Instead: what a model reads of large APIs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure this machine: medians with spread, each as a ratio to its reference.

    With --peer, the same work is done by others in the same rounds: workerd ($FACETS_WORKERD, or
    installed by npm), on it Cloudflare's SDKs for agents (npm), a Python process,
    pydantic-monty and quickjs-rs; what is absent is skipped.
    """
    sys.path.insert(0, str(_checkout()))
    from tests.benchmarks.harness import OWN, PEERS, RAY, run_all, table

    console = Console(stderr=True)
    if code:
        _code(as_json)
        return
    if scale or trees:
        _scale(scale or trees, "scale" if scale else "tree_scale", console, as_json)
        return
    _compile_guest(console)
    with console.status("measuring") as status:
        group = PEERS if peer else RAY if ray else OWN
        results = run_all(only, group, lambda name: status.update(name))
    if as_json:
        print(json.dumps([one.as_dict() for one in results]))  # noqa: T201 - the output asked for
    else:
        Console(width=140 if not sys.stdout.isatty() else None).print(table(results))


def _code(as_json: bool) -> None:
    found = import_module("tests.benchmarks.codemode")
    figures = asyncio.run(found.measure())
    if as_json:
        print(json.dumps(figures))  # noqa: T201 - the output asked for
    else:
        Console(width=140 if not sys.stdout.isatty() else None).print(found.table(figures))


def _scale(facets: int, module: str, console: Console, as_json: bool) -> None:
    found = import_module(f"tests.benchmarks.{module}")
    with console.status("measuring") as status:

        def show(stage: Any) -> None:
            status.update(f"{stage.facets:,} facets")

        stages = asyncio.run(found.measure(facets, Path.cwd(), show))
    if as_json:
        print(json.dumps([asdict(one) for one in stages]))  # noqa: T201 - the output asked for
    else:
        Console(width=140 if not sys.stdout.isatty() else None).print(found.table(stages))


def main() -> None:
    """Run the command; errors of ours end it with their message and no traceback."""
    try:
        app()
    except FacetsError as error:
        Console(stderr=True).print(Text(f"{type(error).__name__}: {error}", style="red"))
        sys.exit(1)


def _source(tool: str) -> str:
    if not tool:
        return resources.files("facets.demo").joinpath("tool.py").read_text()
    if tool == "-":
        return sys.stdin.read()
    try:
        return Path(tool).read_text()
    except OSError as error:
        raise typer.BadParameter(
            f"cannot read {tool}: {error.strerror}", param_hint="--tool"
        ) from error


def _arguments(text: str, default: list[Any]) -> list[Any]:
    if not text:
        return default
    try:
        args = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint="--args") from error
    if not isinstance(args, list):
        raise typer.BadParameter("a JSON list is needed, such as [20]", param_hint="--args")
    return args


def _compile_guest(console: Console) -> None:
    """Have the guest's native image ready, with a bar if it must be compiled first."""
    from facets.isolates import image

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("compiling the sandbox, once", total=image.EXPECTED, visible=False)

        def show(phase: str, seconds: float) -> None:
            compiling = phase in {"wait", "compile"}
            progress.update(task, visible=compiling, completed=min(seconds, image.EXPECTED))

        image.load(on_progress=show)


def _checkout() -> Path:
    root = Path(__file__).resolve().parent.parent
    for candidate in (Path.cwd(), root):
        if (candidate / "tests" / "benchmarks" / "harness.py").is_file():
            return candidate
    raise FacetsError(
        "the benchmarks are in the source tree", hint="run `facets bench` in a clone of it"
    )


def _summary(report: dict[str, Any], last: Any) -> dict[str, Any]:
    times = report["timings_ms"]
    return {
        "result": report["results"][0],
        "tree": {
            "id": report["parent"],
            "facets": [
                {
                    "id": report["facet"],
                    "bytes": report["size"],
                    "results": {
                        "first": report["results"][0],
                        "warm": report["results"][1],
                        "after_abort": report["results"][2],
                        "after_kill": last,
                    },
                }
            ],
        },
        "timings_ms": {name: round(value, 4) for name, value in times.items()},
    }


def _tree(report: dict[str, Any], last: Any, job: Job, state: str) -> Tree:
    times, results = report["timings_ms"], report["results"]
    tree = Tree(Text(f"parent actor {report['parent']}", style="bold"))
    opened = "kept there" if state else "temporary; --state DIR keeps it"
    tree.add(_line("state directory opened", times["open"], opened))
    size = f"own database, {report['size'] >> 10} KB"
    facet = tree.add(Text(f"facet {report['facet']} · {job.cls} in an isolate · {size}"))
    facet.add(
        _line("isolate minted", times["mint"], "fresh WebAssembly memory, no ambient authority")
    )
    facet.add(_line("source loaded", times["load"], f"{len(job.source.splitlines())} lines"))
    calls = [
        ("first call", times["first_call"], results[0]),
        ("warm call", times["warm_call"], results[1]),
        ("facet aborted, called again", times["after_abort"], results[2]),
    ]
    for title, ms, result in calls:
        facet.add(_line(title, ms, _short(result)))
    for line in report["output"][:5]:
        facet.add(Text(f"printed: {line}", style="dim"))
    tree.add(Text(f"a call to a trusted facet takes {times['facet_rpc_us']:.2f} us"))
    killed = tree.add(Text("process killed with SIGKILL, state opened by a new one", style="bold"))
    killed.add(_line("recovered", times["recover"], "from the journal"))
    killed.add(Text.assemble("called again: ", (_short(last), "green")))
    return tree


def _line(title: str, ms: float, remark: str) -> Text:
    return Text.assemble(title, (f"  {ms:.2f} ms  ", "cyan"), (remark, "dim"))


def _short(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 160 else text[:157] + "..."
