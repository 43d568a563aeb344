"""Commands on a state directory that no process uses: doctor, export, import."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from storage.doctor import Report

Directory = Annotated[str, typer.Argument(help="The state directory.")]
Kind = Annotated[str, typer.Argument(help="Kind of the actor: the name of its class.")]
Name = Annotated[str, typer.Argument(help="Name of the actor.")]


def doctor(
    directory: Directory,
    repair: Annotated[
        bool, typer.Option(help="Recover, and move aside what does not fit.")
    ] = False,
    accept_loss: Annotated[
        bool, typer.Option(help="With --repair: give up acknowledged records that are damaged.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a state directory: journal, databases, orphans. Changes nothing without --repair.

    The exit code is 0 if everything is sound, 1 otherwise. A repair never deletes: what does
    not fit is in lost+found afterwards.
    """
    from storage.disk import Disk
    from storage.doctor import examine
    from storage.doctor import repair as mend
    from storage.history import Archive
    from storage.history.lost import tell_lost
    from storage.layout import Layout
    from storage.limits import HistoryLimits

    root = Path(directory)
    if repair:
        layout, disk = Layout(root), Disk()
        archive = Archive(disk, layout.history, HistoryLimits())
        report = mend(
            root,
            disk,
            accept_loss=accept_loss,
            before=lambda records: tell_lost(disk, layout, archive, records),
        )
    else:
        report = examine(root)
    if as_json:
        print(json.dumps(asdict(report) | {"sound": report.sound}, default=str))  # noqa: T201
    else:
        _show(report)
    raise typer.Exit(0 if report.sound else 1)


def export(
    directory: Directory,
    kind: Kind,
    name: Name,
    file: Annotated[str, typer.Argument(help="The archive to write.")],
) -> None:
    """Write an actor and all its facets into one file."""
    from storage import Store
    from storage.archive import Export

    store = Store.open(directory)
    try:
        job = Export(store, store.root(kind, name), Path(file))
        job.work()
        job.close()
    finally:
        store.close()


def import_(
    directory: Directory,
    kind: Kind,
    name: Name,
    file: Annotated[str, typer.Argument(help="The archive to read.")],
) -> None:
    """Put what `export` wrote in the place of an actor; an odd file changes nothing."""
    from storage import Store, archive

    store = Store.open(directory)
    try:
        graft = archive.import_(store, Path(file), store.root(kind, name))
        try:
            graft.work()
        except BaseException:
            graft.cancel()
            raise
        graft.finish()
    finally:
        store.close()


def _show(report: Report) -> None:
    console = Console()
    table = Table(title=f"{report.root}: {'sound' if report.sound else 'NOT SOUND'}")
    for column in ("severity", "path", "what", "hint"):
        table.add_column(column)
    for one in report.findings:
        table.add_row(one.severity.name.lower(), one.path, one.what, one.hint)
    facts: dict[str, Any] = {
        "actors": report.actors,
        "records": f"{report.journal.first} to {report.journal.last}",
        **asdict(report.sizes),
    }
    for line in report.done:
        console.print(line)
    console.print(table)
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()))
