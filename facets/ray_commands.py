"""Commands on a runtime of a Ray cluster: up, status, down."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, cast

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from actors.ray.errors import NoCluster

if TYPE_CHECKING:
    from actors.contract import Durability
    from actors.ray.fleet import Hosts
    from actors.ray.forgetting import Loss
    from actors.ray.handover import Moved
    from actors.ray.runtime import RayRuntime
    from actors.ray.settings import Settings
    from actors.ray.survey import Survey
    from actors.readings import Readings
    from storage.replica.shipper import ReplicaStats

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, help="Hosts of durable actors on a Ray cluster.")

Root = Annotated[str, typer.Argument(help="The state directory, as for RayRuntime.")]


@app.command()
def up(
    root: Root,
    hosts: Annotated[str, typer.Option(help="How many processes, or per-node.")] = "1",
    replica: Annotated[str, typer.Option(help="Url of an object store for every commit.")] = "",
    durability: Annotated[str, typer.Option(help="local or replicated.")] = "local",
    address: Annotated[str, typer.Option(help="Of the Ray cluster; found if left out.")] = "",
    log: Annotated[str, typer.Option(help="Level from which on hosts log.")] = "INFO",
) -> None:
    """Start the hosts of a runtime; they go on when this command has ended.

    What it was told is kept in ROOT/runtime.json, for the other commands. Hosts that run already
    are left alone, so it may be run again.
    """
    from actors.ray.settings import Settings
    from actors.ray.survey import survey

    if durability not in ("local", "replicated"):
        raise typer.BadParameter("local or replicated", param_hint="--durability")
    settings = Settings(
        root if root.startswith("$") else str(Path(root).absolute()),
        _count(hosts),
        replica or None,
        cast("Durability", durability),
        address or None,
        log.upper(),
    )
    with connected(settings.address):
        asyncio.run(_up(settings))
        settings.keep()
        _show(survey(settings.runtime().plan), settings)


@app.command()
def status(
    root: Root,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the hosts of a runtime and what their meters show. Starts nothing.

    The exit code is 0 if every host answers and none is behind, 1 otherwise.
    """
    from actors.ray.settings import recall
    from actors.ray.survey import survey

    settings = recall(root)
    with connected(settings.address):
        found = survey(settings.runtime().plan)
    if as_json:
        print(json.dumps(asdict(found) | {"sound": _sound(found)}))  # noqa: T201 - the output
    else:
        _show(found, settings)
    raise typer.Exit(0 if _sound(found) else 1)


@app.command()
def down(root: Root) -> None:
    """End the hosts; their state stays, and `up` starts them again.

    Calls in progress are interrupted, and everything is durable before a host ends.
    """
    from actors.ray.settings import recall

    settings = recall(root)
    with connected(settings.address):
        asyncio.run(_down(settings))


@app.command()
def drain(
    root: Root,
    host: Annotated[str, typer.Argument(help="As status names it: host-2.")],
) -> None:
    """Move all that a host owns to the others while calls flow, and end it."""
    _rescale(root, lambda runtime: runtime.drain(host))


@app.command()
def scale(
    root: Root,
    hosts: Annotated[int, typer.Argument(help="How many there are to be.", min=1)],
) -> None:
    """Have so many hosts, while calls flow: start new ones, or drain the last ones.

    Programs open the runtime with this number from then on.
    """
    _rescale(root, lambda runtime: runtime.scale(hosts))


@app.command()
def forget(
    root: Root,
    node: Annotated[str, typer.Argument(help="Ray's id of the node, or its address.")],
    lose: Annotated[
        bool, typer.Option("--lose", help="Without a replica: lose all that its hosts had.")
    ] = False,
) -> None:
    """Give up the disk of a node that is gone for good, and say what is lost.

    Its hosts go on elsewhere, with what the replica has. The disk never serves them again.
    """
    for loss in _perform(root, lambda runtime: runtime.forget(node, lose=lose)):
        print(_loss(loss))  # noqa: T201 - the output


@app.command()
def deploy(
    root: Root,
    cls: Annotated[str, typer.Argument(help="module:Class; the module may lie here.")],
) -> None:
    """Make this the class that actors of its kind start with from now on.

    Those that are awake keep the one they have until they start again. Every host tries it out
    before, and nothing changes if one cannot use it.
    """
    module, colon, name = cls.partition(":")
    if not colon:
        raise typer.BadParameter("module:Class is needed", param_hint="CLS")
    sys.path.insert(0, str(Path.cwd()))
    found = getattr(importlib.import_module(module), name)
    _perform(root, lambda runtime: runtime.deploy(found))


def _perform(root: str, verb: Callable[[RayRuntime], Awaitable[T]]) -> T:
    """What a verb returns of the runtime that was brought up with this state. Hosts that do not
    run are started."""
    from actors.ray.settings import recall

    settings = recall(root)

    async def work() -> T:
        async with settings.runtime() as runtime:
            return await verb(runtime)

    with connected(settings.address):
        return asyncio.run(work())


def _rescale(root: str, verb: Callable[[RayRuntime], Awaitable[Moved]]) -> None:
    """Do it, say what was moved, and keep how many hosts there are now, also when it failed."""
    from actors.ray.directory import newest
    from actors.ray.settings import recall

    settings = recall(root)
    with connected(settings.address):
        try:
            moved = _perform(root, verb)
        finally:
            directory = newest(settings.runtime().plan.shared())
            if settings.hosts != "per-node":
                msgspec.structs.replace(settings, hosts=len(directory.hosts)).keep()
    print(  # noqa: T201 - the output
        f"moved {moved.trees:,} actors of {moved.buckets:,} buckets, {moved.size / 1e6:,.1f} MB; "
        f"calls waited {moved.held:.2f} s at most; {len(directory.hosts)} hosts"
    )


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """A connection to a Ray cluster that exists, one that is there already or for this block;
    `NoCluster` if none answers."""
    import ray

    if ray.is_initialized():
        yield
        return
    from actors.ray.router import NAMESPACE

    try:
        _knock(address)
        ray.init(
            address or "auto",
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except OSError as error:
        where = address or "this machine"
        raise NoCluster(f"no Ray cluster answers at {where}", address=address) from error
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str | None) -> None:
    """Raise OSError if nobody listens there: Ray itself would try for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=5.0).close()


async def _up(settings: Settings) -> None:
    runtime = await settings.runtime().open()
    await runtime.close()


async def _down(settings: Settings) -> None:
    await settings.runtime().down()


def _count(hosts: str) -> Hosts:
    if hosts == "per-node":
        return "per-node"
    if not hosts.isdecimal() or hosts == "0":
        raise typer.BadParameter("a number, or per-node", param_hint="--hosts")
    return int(hosts)


def _sound(found: Survey) -> bool:
    shown = [found.readings.get(one.name) for one in found.hosts]
    return bool(shown) and all(one is not None and _keeps_up(one.replica) for one in shown)


def _keeps_up(replica: ReplicaStats | None) -> bool:
    return replica is None or not (replica.behind or replica.failing)


def _loss(loss: Loss) -> str:
    if loss.seconds is None:
        return f"{loss.host}: everything is lost"
    kept = datetime.fromtimestamp(loss.complete, UTC).isoformat(timespec="seconds")
    seen = datetime.fromtimestamp(loss.seen, UTC).isoformat(timespec="seconds")
    return (
        f"{loss.host}: kept is what was written before {kept}; lost are {loss.seconds:.1f} s until "
        f"{seen}, its last sign of life, and what it wrote after that"
    )


_COLUMNS: dict[str, Callable[[Readings], str]] = {
    "actors": lambda shown: f"{shown.actors:,}",
    "awake": lambda shown: f"{shown.awake:,}",
    "calls": lambda shown: f"{shown.calls:,}",
    "errors": lambda shown: f"{shown.errors:,}",
    "timers": lambda shown: f"{shown.timer_actors:,}",
    "late": lambda shown: f"{shown.timer_late:.1f} s",
    "sync": lambda shown: f"{shown.sync_seconds / max(1, shown.syncs) * 1e3:.2f} ms",
    "journal": lambda shown: f"{shown.journal >> 10:,} KB",
    "disk free": lambda shown: f"{shown.disk_free >> 30:,} GB",
    "replica": lambda shown: _replica(shown.replica),
}


def _show(found: Survey, settings: Settings) -> None:
    title = f"{settings.root}: directory version {found.version}, {settings.durability}"
    table = Table(title=title, caption=settings.replica)
    about = ("host", "state", "node", "pid")
    for column in (*about, "buckets", *_COLUMNS):
        table.add_column(column, justify="left" if column in about else "right")
    for one in found.hosts:
        shown = found.readings.get(one.name)
        cells = [what(shown) for what in _COLUMNS.values()] if shown else []
        table.add_row(one.name, one.state, one.ip, str(one.pid), f"{one.buckets:,}", *cells)
    Console(width=None if Console().is_terminal else 160).print(table)


def _replica(stats: ReplicaStats | None) -> str:
    if stats is None:
        return "none"
    if stats.behind:
        return "behind"
    return f"failing: {stats.failing}" if stats.failing else f"{stats.lag:.1f} s"
