"""Errors of packages.

    FacetsError
    └── PackageError
        ├── BadRequirement        not a requirement, or one not taken (ValueError)
        ├── BadLock               not a lock, or one that lacks something (ValueError)
        ├── NoSuchPackage         the index has no such package or version (LookupError)
        ├── RequirementsConflict  no version satisfies everybody who asks for it
        ├── NotPure               the version that was chosen has parts that no isolate can run
        ├── BadWheel              an archive that is not what a wheel must be (ValueError)
        ├── BadTarball            the same of an archive of npm (ValueError)
        ├── HashMismatch          content that is not what the lock or the index says
        ├── PackagesTooLarge      over a limit of `limits`
        ├── IndexFailed           the index does not answer, or not in its format (ConnectionError)
        └── PackagesUnavailable   the extra that resolves packages is not installed (ImportError)

Branches follow what a caller can do: ask for something else, or try again later. Nothing is
installed halfway: after an error the isolate was not made, and the next use tries again.
"""

from __future__ import annotations

from storage.errors import FacetsError


class PackageError(FacetsError):
    """Something about packages of an isolate."""


class BadRequirement(PackageError, ValueError):
    """A text is not a requirement, or asks for what an isolate cannot have.

    Fields: `requirement`; `required_by`, the package that says so, or "".
    """

    required_by: str = ""


class BadLock(PackageError, ValueError):
    """A text is not a lock, or the lock lacks what the source says it needs."""


class NoSuchPackage(PackageError, LookupError):
    """No such package, or no version that matches. Fields: `name`, `required_by`."""


class RequirementsConflict(PackageError):
    """No choice of versions satisfies all requirements. Field: `conflict`, one line for each."""

    conflict: tuple[str, ...] = ()


class NotPure(PackageError):
    """The newest version that matches cannot run in an isolate, and older ones are not tried.

    Fields: `name`, `version`, `required_by` (who led to it, outermost first),
    `offered` (what the index has of this version instead; of npm, why it cannot be loaded).
    """

    required_by: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()


class BadWheel(PackageError, ValueError):
    """An archive is damaged or hostile. Nothing of it is used. Fields: `filename`, `reason`."""


class BadTarball(PackageError, ValueError):
    """An archive of npm is damaged or hostile; nothing is used of it. Fields: `filename`,
    `reason`."""


class HashMismatch(PackageError):
    """Content does not have its hash, SHA-256 or of npm SHA-512. Fields: `filename`, `expected`,
    `found`."""


class PackagesTooLarge(PackageError):
    """Too many bytes, files or packages. Fields: `limit`; `what` is limited."""


class IndexFailed(PackageError, ConnectionError):
    """The index could not be reached, or did not answer as an index does. Field: `url`."""


class PackagesUnavailable(PackageError, ImportError):
    """What resolves packages is not installed."""

    hint = "pip install 'facets-runtime[packages]'"
