"""Errors of quotas.

    FacetsError
    └── ActorError
        └── QuotaExceeded         an actor and all below it would use more than they may together
            ├── BytesQuota        bytes of databases (StorageFull): the step was undone
            ├── DatabasesQuota    databases (StorageFull): the step was undone
            ├── OpenDatabasesQuota   open databases, of which none can be closed
            ├── ConcurrentQuota   calls in progress
            ├── RateQuota         calls in a second
            ├── CpuQuota          processor time of sandboxes
            └── MeterQuota        a meter of the user's own

What was refused has not happened: no call was begun, nothing was written or spent.
"""

from __future__ import annotations

from actors.errors import ActorError
from storage.errors import StorageFull


class QuotaExceeded(ActorError):
    """More than a quota allows to an actor and all below it together.

    Fields: `owner`, the id of the actor whose quota it is; `quota`, the name of the limit in
    `Quota`, or of the meter; `limit`; `used`, as of now; `asked`, what it would have been more.
    """

    hint = "use less, or raise it: facets.set_quota(name, Quota(...))"
    owner: str
    quota: str
    limit: float
    used: float
    asked: float


class BytesQuota(QuotaExceeded, StorageFull):
    """The databases would take too many bytes; the step was undone."""

    hint = "delete what is not needed, or raise Quota(bytes=...)"


class DatabasesQuota(QuotaExceeded, StorageFull):
    """Too many actors would have a database; the step was undone."""

    hint = "delete facets that are done, or raise Quota(databases=...)"


class OpenDatabasesQuota(QuotaExceeded):
    """Too many databases are open, and all of them are needed: by transactions, shared methods and
    copies under way. You do not get it as long as one can be closed."""

    hint = "let fewer actors take part in one transaction, or raise Quota(open_databases=...)"


class ConcurrentQuota(QuotaExceeded):
    """Too many calls are in progress. Calls to facets count besides those that make them."""

    hint = "await some calls before the next, or raise Quota(concurrent=...)"


class RateQuota(QuotaExceeded):
    """Too many calls. Field: `retry_after`, seconds until one is allowed again."""

    hint = "call again after `retry_after` seconds, or raise Quota(rate=...)"
    retry_after: float


class CpuQuota(QuotaExceeded):
    """Too much processor time of sandboxes. Field: `retry_after`, seconds until a tenth is left."""

    hint = "call again after `retry_after` seconds, or raise Quota(cpu=...)"
    retry_after: float


class MeterQuota(QuotaExceeded):
    """More of a meter would be spent than may be. The step goes on without it."""

    hint = "spend less, or raise Quota(meters=...)"
