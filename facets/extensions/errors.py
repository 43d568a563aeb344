"""Errors of extensions.

    FacetsError
    └── ExtensionError
        ├── BadManifest           the manifest is not one (ValueError); `path` says where
        ├── BadSignature          it is signed by nobody whose key is here (PermissionError)
        ├── VersionTaken          that version is there already, with other content (ValueError)
        ├── NoSuchExtension       nothing of that name, version or tool is there (LookupError)
        ├── TooManyPending        too many proposals wait for a decision
        ├── NotPending            a proposal is not in the state that was expected
        ├── ExtensionDisabled     it was switched off, by its strikes or by its host
        ├── ResultTooLong         a tool answers a model with more than it is shown
        └── ExtensionAltered      what is stored is not what was consented to

You do not get one for a proposal that does not pass: it is returned, with its problems. What an
extension's tool raises arrives as it does from every isolate.
"""

from __future__ import annotations

from storage.errors import FacetsError


class ExtensionError(FacetsError):
    """Something about an extension. Fields: `name`, `version`."""

    name: str = ""
    version: str = ""


class BadManifest(ExtensionError, ValueError):
    """The manifest is not one. Field: `path`, where in it."""

    path: str = ""


class BadSignature(ExtensionError, PermissionError):
    """The signature is by none of the keys, or of another content."""

    hint = "sign the hash of exactly this manifest and source, or propose it unsigned"


class VersionTaken(ExtensionError, ValueError):
    """There is that version, with another manifest or source."""

    hint = "a version is never changed: give the next one another number"


class NoSuchExtension(ExtensionError, LookupError):
    """There is no extension, version or tool of that name that can be used."""


class TooManyPending(ExtensionError):
    """So many proposals wait for a decision that no other one is taken."""

    hint = "approve or reject some of `pending()`"


class NotPending(ExtensionError):
    """The proposal waits for no such decision. Field: `state`."""

    state: str = ""


class ExtensionDisabled(ExtensionError):
    """It is switched off. Field: `reason`."""

    hint = "look at `history(name)`; `enable(name)` switches it on, an upgrade too"
    reason: str = ""


class ResultTooLong(ExtensionError):
    """What it did stays; the model reads this instead of its result. Field: `size`, in bytes."""

    hint = "let it return less at a time, or a summary"
    size: int = 0


class ExtensionAltered(ExtensionError):
    """The stored manifest or source does not have the hash that was consented to."""

    hint = "propose it again, or roll back"
