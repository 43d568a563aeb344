"""Extensions: code that a model or a stranger wrote, with a manifest of what it may do.

extensions.py  Extensions: propose, approve, roll back, call, emit
manifest.py    what an extension says of itself, and its hash
uses.py        what its source uses, read without running it
changes.py     what a version may that another may not
checking.py    the check of a proposal
arguments.py   what a tool is called with, held to its schema
calling.py     one call of a tool
package.py     an extension as one file
proposal.py    what became of a version, and policies of consent
rehearsal.py   tests and calls made again, where they can do no harm
grants.py      what the host lends, and what of it a manifest gets
hooks.py       events and who hears them
tools.py       extensions as tools of a model
signing.py     who vouches for one
records.py     the rows of all that
errors.py      its branch of the tree of errors
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facets.extensions import errors as errors

if TYPE_CHECKING:
    from facets.extensions.changes import Change as Change
    from facets.extensions.extensions import Extensions as Extensions
    from facets.extensions.grants import Grants as Grants
    from facets.extensions.manifest import HookSpec as HookSpec
    from facets.extensions.manifest import Manifest as Manifest
    from facets.extensions.manifest import Permissions as Permissions
    from facets.extensions.manifest import ToolSpec as ToolSpec
    from facets.extensions.package import Package as Package
    from facets.extensions.proposal import Answer as Answer
    from facets.extensions.proposal import Proposal as Proposal
    from facets.extensions.proposal import ask as ask
    from facets.extensions.proposal import no_wider as no_wider
    from facets.extensions.records import Event as Event
    from facets.extensions.signing import PublicKey as PublicKey
    from facets.extensions.signing import SharedKey as SharedKey
    from facets.extensions.tools import model_tools as model_tools

_LAZY = {
    "Answer": "proposal",
    "Change": "changes",
    "Event": "records",
    "Extensions": "extensions",
    "Grants": "grants",
    "HookSpec": "manifest",
    "Manifest": "manifest",
    "Package": "package",
    "Permissions": "manifest",
    "Proposal": "proposal",
    "PublicKey": "signing",
    "SharedKey": "signing",
    "ToolSpec": "manifest",
    "ask": "proposal",
    "model_tools": "tools",
    "no_wider": "proposal",
}
__all__ = [
    "Answer",
    "Change",
    "Event",
    "Extensions",
    "Grants",
    "HookSpec",
    "Manifest",
    "Package",
    "Permissions",
    "Proposal",
    "PublicKey",
    "SharedKey",
    "ToolSpec",
    "ask",
    "model_tools",
    "no_wider",
    "errors",
]


def __getattr__(name: str) -> Any:
    # The errors are part of `facets.errors`, which all the rest here imports.
    from importlib import import_module

    if name not in _LAZY:
        raise AttributeError(f"module 'facets.extensions' has no attribute {name!r}")
    return getattr(import_module(f"facets.extensions.{_LAZY[name]}"), name)
