"""One request to one place: its time, its account, its record, and what its errors become."""

from __future__ import annotations

import asyncio
import math
import socket
import zlib
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from facets.egress.audit import Entry
from facets.egress.budget import Account
from facets.egress.errors import (
    EgressDenied,
    EgressError,
    EgressFailed,
    EgressTimeout,
    EgressTooLarge,
)
from facets.egress.outgoing import Outgoing
from facets.egress.resolving import AddressRefused
from facets.egress.rules import Rule

_T = TypeVar("_T")


class Hop:
    """From the choice of a rule to the end of the answer.

    Ends once, by `end` or by what is raised within `guarded`, with one record in the audit.
    """

    def __init__(self, rule: Rule, order: Outgoing, account: Account, entry: Entry) -> None:
        self.rule = rule
        self.order = order
        self.entry = entry
        self._account = account
        self._began = math.nan
        self._deadline = math.inf
        self._scarce = False
        """Whether the deadline is the budget's and not the rule's."""
        self._under_way = False

    @property
    def _url(self) -> str:
        return self.order.target.shown

    def start(self, order: Outgoing) -> None:
        """What follows leaves. Raises EgressBudget or EgressTooLarge if it may not."""
        if len(order.body) > self.rule.request_size:
            raise self.too_large("request", self.rule.request_size)
        self._account.begin(self._url, order.size)
        self._under_way = True
        self._began = asyncio.get_running_loop().time()
        total, left = self.rule.timeouts.total, self._account.seconds_left
        self._scarce = left < total
        self._deadline = self._began + min(total, left)
        self.entry.sent = order.size

    def received(self, size: int) -> None:
        """Count bytes off the wire."""
        self.entry.received += size
        self._account.received += size
        self._account.check(self._url)

    def too_large(self, what: str, limit: int) -> EgressTooLarge:
        """The error for a request or an answer over its limit."""
        return EgressTooLarge(
            f"the {what} is larger than {limit} bytes at {self._url}",
            limit=limit,
            url=self._url,
            rule=self.entry.rule,
        )

    async def in_time(self, awaitable: Awaitable[_T]) -> _T:
        """Wait no longer than the hop may take."""
        # Each wait has its own timeout: a stream may be read by another task than opened it.
        async with asyncio.timeout_at(self._deadline):
            return await awaitable

    def end(self, error: BaseException | None = None) -> None:
        """The hop is over."""
        if self._under_way:
            self._under_way = False
            self._account.end(asyncio.get_running_loop().time() - self._began)
        self.entry.end(error)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """End the hop with what is raised, told as an EgressError if it is about the network."""
        try:
            yield
        except GeneratorExit:  # a reader that wants no more
            self.end()
            raise
        except BaseException as error:
            told = self._told(error)
            self.end(told)
            if told is error:
                raise
            raise told from error

    def _told(self, error: BaseException) -> BaseException:
        if isinstance(error, EgressError):
            return error
        if isinstance(error, AddressRefused):
            self.entry.address, self.entry.sent = str(error.address), 0
            return self._denied(error.kind)
        if isinstance(error, TimeoutError):
            return self._late()
        if isinstance(error, OSError | zlib.error):
            return self.failed(_why(error))
        return error

    def _denied(self, kind: str) -> EgressDenied:
        return EgressDenied(
            f"{self.order.target.host} leads to a {kind} address, which its rule does not open",
            hint="a rule with private=True opens private, loopback and shared addresses",
            reason="address",
            url=self._url,
            rule=self.entry.rule,
        )

    def _late(self) -> EgressError:
        if self._scarce and asyncio.get_running_loop().time() >= self._deadline:
            return self._account.out_of_time(self._url)
        return EgressTimeout(f"{self._url} took too long", url=self._url, rule=self.entry.rule)

    def failed(self, why: str) -> EgressFailed:
        """The error for a failure of the other side. `why` goes into the isolate."""
        return EgressFailed(f"{self._url}: {why}", url=self._url, rule=self.entry.rule)


def _why(error: Exception) -> str:
    """In words of our own: the system's name addresses."""
    if isinstance(error, socket.gaierror):
        return "its name does not resolve"
    if isinstance(error, zlib.error):
        return "the compressed data is damaged"
    return "there is no connection, or it broke"
