"""Commands on a state directory that no process uses: doctor, export, import, restore."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from storage import Database, Store
    from storage.doctor import Report
    from storage.history import Bookmark

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

    The exit code is 0 if everything is sound, 1 otherwise. A repair deletes nothing that an actor
    or its past has: what does not fit is in lost+found afterwards.
    """
    from storage.disk import Disk
    from storage.doctor import examine, sweep
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
        swept = sweep(root) if report.sound else 0
        if swept:
            line = f"removed {swept} large contents that nothing names, now or in the past"
            report = replace(report, done=(*report.done, line))
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


def restore(
    directory: Directory,
    kind: Kind,
    name: Name,
    at: Annotated[
        str, typer.Option(help="A bookmark; with --replica the newest state if left out.")
    ] = "",
    replica: Annotated[
        str, typer.Option(help="Url of a replica to take the actor from; it is only read.")
    ] = "",
    host: Annotated[str, typer.Option(help="Whose state in the replica.")] = "main",
) -> None:
    """Put an actor and all its facets back to what they were; print the bookmark that undoes it."""
    from storage import Store
    from storage.history import Bookmark

    if not at and not replica:
        raise typer.BadParameter("a bookmark is needed, or a replica", param_hint="--at")
    when = Bookmark.parse(at) if at else None
    store = Store.open(directory)
    try:
        target = store.root(kind, name)
        undo = (
            _retrieve(store, target, replica, host, when)
            if replica
            else _restore(store, target, Bookmark.parse(at))
        )
        print(undo)  # noqa: T201 - the output asked for
    finally:
        store.close()


def _retrieve(
    store: Store, target: Database, replica: str, host: str, when: Bookmark | None
) -> Bookmark:
    from storage.objects import open_store
    from storage.retrieval import Retrieval

    job = Retrieval(store, target, open_store(replica), host, when)
    try:
        job.read()
        job.graft().work()
    except BaseException:
        job.cancel()
        raise
    return job.finish()[1]


def _restore(store: Store, target: Database, bookmark: Bookmark) -> Bookmark:
    from storage.restore import Restore

    job = Restore(store, target, bookmark)
    try:
        job.work()
    except BaseException:
        job.cancel()
        raise
    return job.finish()[1]


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


def tree(
    directory: Directory,
    kind: Annotated[str, typer.Argument(help="Only actors of this kind.")] = "",
    name: Annotated[str, typer.Argument(help="Only this one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show which actors there are, their facets below them, and the bytes of each."""
    from storage import Store
    from storage.sizes import subtree_sizes

    store = Store.open(directory)
    try:
        for root in store.catalogue.roots(kind, name):
            for path, size in subtree_sizes(store, store.root(root.kind, root.name)):
                _show_place(root.kind, (root.name, *path), size, as_json=as_json)
    finally:
        store.close()


def _show_place(kind: str, path: tuple[str, ...], size: int, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"kind": kind, "path": path, "size": size}))  # noqa: T201
    else:
        label = f"{kind} " if len(path) == 1 else "  " * (len(path) - 1)
        print(f"{size:>12,}  {label}{path[-1]}")  # noqa: T201 - the output asked for


def rename(
    directory: Directory,
    kind: Kind,
    name: Name,
    new_name: Annotated[str, typer.Argument(help="What it is called from now on.")],
) -> None:
    """Give an actor another name; its data, its past and its facets stay what they are."""
    from storage import Store
    from storage.move import move

    store = Store.open(directory)
    try:
        move(store, store.root(kind, name), None, kind, new_name)
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
