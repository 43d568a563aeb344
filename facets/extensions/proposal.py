"""What became of one version of an extension."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from facets.extensions.changes import Change, widening
from facets.extensions.manifest import Manifest

State = Literal[
    "checking",
    "refused",
    "pending",
    "rejected",
    "approved",
    "activating",
    "failed",
    "active",
    "retired",
]
Answer = Literal["approve", "reject", "ask"]
Consent = Callable[["Proposal"], Answer | Awaitable[Answer]]


class Ran(msgspec.Struct, frozen=True):
    """A test, or a call that was made again on a copy. `error` is "" if it went well."""

    what: str
    error: str = ""
    differs: bool = False
    """On a copy it answered something else than the running version."""
    refused: bool = False
    """It needed what is not there in a rehearsal, so it says nothing."""


class Proposal(msgspec.Struct, frozen=True):
    """One version: what it asks for, what was found, where it stands.

    | state      | means                                                                      |
    |------------|----------------------------------------------------------------------------|
    | checking   | its check was not finished: the process ended, `resume()` goes on          |
    | refused    | it did not pass the check: `problems`                                      |
    | pending    | somebody has to decide: `approve` or `reject`                              |
    | rejected   | somebody, or the policy, said no                                           |
    | approved   | consented to, and not active yet: `resume()` goes on                       |
    | activating | it is about to take over; after a crash `resume()` begins that again       |
    | failed     | it did not pass its rehearsal, or did not start: `problems`                |
    | active     | it is what runs                                                            |
    | retired    | it ran, until another version took its place                               |
    """

    manifest: Manifest
    hash: str
    signer: str = ""
    """The name of the key that signed it."""
    signature: bytes = b""
    state: State = "checking"
    running: str = ""
    """The version that ran when it was proposed, which `changes` compare with."""
    changes: tuple[Change, ...] = ()
    unused: tuple[str, ...] = ()
    """Permissions that it asks for and does not seem to need."""
    problems: tuple[str, ...] = ()
    tests: tuple[Ran, ...] = ()
    rehearsal: tuple[Ran, ...] = ()

    @property
    def name(self) -> str:
        """The extension's."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """Which one."""
        return self.manifest.version

    @property
    def widens(self) -> bool:
        """Whether it may do anything that the running version may not."""
        return widening(self.changes)


def ask(proposal: Proposal) -> Answer:
    """Policy: somebody decides about each."""
    del proposal
    return "ask"


def no_wider(proposal: Proposal) -> Answer:
    """Policy: what may do no more than what runs is approved, somebody decides about the rest."""
    return "ask" if proposal.widens else "approve"
