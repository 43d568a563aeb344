"""Commands that need a real operating system, in namespaces of their own, when granted.

    sandbox    Sandbox: what an application holds          limits     what may be taken
    box        Box: a workspace and its commands           process    a command, and its end
    changes    files in before, changes out after          tools      for a model
    channel    bubblewrap, and frames to its broker        broker     what runs inside, as PID 1
    starting   the command line: what there is in a box    filtering  refused system calls
    proxy      the way out, by the rules of an Egress
    locating   bubblewrap, Python, a user, on this machine errors     one tree

Needs the extra `sandbox` and bubblewrap. Importing this package imports neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facets.sandbox.box import Box as Box
    from facets.sandbox.limits import SandboxLimits as SandboxLimits
    from facets.sandbox.process import Done as Done
    from facets.sandbox.process import Process as Process
    from facets.sandbox.sandbox import Sandbox as Sandbox

__all__ = ["Box", "Done", "Process", "Sandbox", "SandboxLimits"]

_LAZY = {
    "Box": "box",
    "Done": "process",
    "Process": "process",
    "Sandbox": "sandbox",
    "SandboxLimits": "limits",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'facets.sandbox' has no attribute {name!r}")
    return getattr(import_module(f"facets.sandbox.{module}"), name)
