"""Durable actors that own child actors, and sandboxes for code a model wrote.

    actor.py       the Actor that users subclass
    agents/        durable agents: turns of a model, sessions, sub-agents
    children.py    self.facets: child actors in the same process
    codemode/      two tools for a model in the place of thousands: search, and code that uses them
    capabilities/  what code in a sandbox may call
    images/        sandboxes with packages imported already
    packages/      pure Python packages for them, locked by hash
    isolates/      self.isolates: WebAssembly sandboxes and the code inside them
    extensions/    code that proposes itself: manifest, check, consent, activation, rollback
    egress/        the only way out of a sandbox: requests that rules allow
    browser/       pages in Chromium, whose requests all pass the egress
    sandbox/       commands that need an operating system, in namespaces of their own
    serve/         actors over HTTP
    mcp/           actors as tools of an MCP server
    errors.py      one tree of errors, drawn at its top
    testing/       for tests: a runtime in memory, crashes, what every runtime must do
    demo.py        the main job, told step by step
    cli.py         the `facets` command

Layers below: `actors` (names, steps, gates) and `storage` (databases, journal).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.code import Start as Start
from actors.deadline import deadline as deadline
from actors.deadline import remaining as remaining
from actors.exclusive import exclusive as exclusive
from actors.limited import limited as limited
from actors.limits import IsolateLimits as IsolateLimits
from actors.limits import TimerLimits as TimerLimits
from actors.local import LocalRuntime as LocalRuntime
from actors.quotas.allowance import Usage as Usage
from actors.quotas.quota import Quota as Quota
from actors.shared import shared as shared
from actors.stat import ActorStat as ActorStat
from actors.streams import Stream as Stream
from actors.stub import Stub as Stub
from actors.supervision import Restart as Restart
from facets import errors as errors
from facets.actor import Actor as Actor
from storage.limits import FileLimits as FileLimits
from storage.limits import HistoryLimits as HistoryLimits
from storage.limits import JournalLimits as JournalLimits
from storage.limits import StorageLimits as StorageLimits
from storage.rows import Row as Row
from storage.rows import Rows as Rows

if TYPE_CHECKING:
    from actors.ray.runtime import RayRuntime as RayRuntime
    from actors.stat import Place as Place
    from actors.ticks import Backoff as Backoff
    from actors.timers import Delivery as Delivery
    from actors.timers import Timer as Timer
    from facets import browser as browser
    from facets import codemode as codemode
    from facets import extensions as extensions
    from facets import images as images
    from facets import logs as logs
    from facets import mcp as mcp
    from facets import packages as packages
    from facets import sandbox as sandbox
    from facets import serve as serve
    from facets import testing as testing
    from facets.capabilities.audit import Used as Used
    from facets.capabilities.capability import Capability as Capability
    from facets.capabilities.describing import describe as describe
    from facets.capabilities.marked import capability as capability
    from facets.egress.egress import Egress as Egress
    from facets.egress.rules import Rule as Rule
    from facets.isolates.invocation import Invocation as Invocation
    from facets.isolates.isolate import Isolate as Isolate
    from facets.isolates.limits import Limits as Limits
    from facets.isolates.recording import Recording as Recording
    from facets.isolates.replaying import Replayed as Replayed
    from facets.isolates.replaying import replay as replay
    from storage.diff import Difference as Difference

__all__ = [
    "Actor",
    "ActorStat",
    "Backoff",
    "Capability",
    "Delivery",
    "Difference",
    "Egress",
    "FileLimits",
    "HistoryLimits",
    "Invocation",
    "Isolate",
    "IsolateLimits",
    "JournalLimits",
    "Limits",
    "LocalRuntime",
    "Place",
    "Quota",
    "RayRuntime",
    "Recording",
    "Replayed",
    "Restart",
    "Row",
    "Rows",
    "Rule",
    "Start",
    "StorageLimits",
    "Stream",
    "Stub",
    "Usage",
    "Timer",
    "TimerLimits",
    "Used",
    "browser",
    "capability",
    "codemode",
    "deadline",
    "describe",
    "errors",
    "exclusive",
    "extensions",
    "images",
    "limited",
    "logs",
    "mcp",
    "packages",
    "remaining",
    "replay",
    "sandbox",
    "serve",
    "shared",
    "testing",
]
__version__ = "0.1.0"

_LAZY = {
    "Backoff": "actors.ticks",
    "Delivery": "actors.timers",
    "Timer": "actors.timers",
    "Capability": "facets.capabilities.capability",
    "capability": "facets.capabilities.marked",
    "describe": "facets.capabilities.describing",
    "Difference": "storage.diff",
    "Egress": "facets.egress.egress",
    "Invocation": "facets.isolates.invocation",
    "Isolate": "facets.isolates.isolate",
    "Limits": "facets.isolates.limits",
    "Place": "actors.stat",
    "RayRuntime": "actors.ray.runtime",
    "Recording": "facets.isolates.recording",
    "Replayed": "facets.isolates.replaying",
    "replay": "facets.isolates.replaying",
    "Rule": "facets.egress.rules",
    "Used": "facets.capabilities.audit",
}
_MODULES = (
    "browser", "codemode", "extensions", "images", "logs", "mcp", "packages", "sandbox", "serve",
    "testing",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"facets.{name}")
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'facets' has no attribute {name!r}")
    return getattr(import_module(module), name)
