"""Names to checked addresses.

A name is resolved once for each connection, every address it resolves to is checked, and the
connection is made to one of those addresses and not to the name. So an answer that changes
between the check and the connection changes nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from facets.egress.addresses import Address, refusal

if TYPE_CHECKING:
    from facets.egress.rules import Rule

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses of a host for a port, best first. Raises OSError where there are none."""

# Lookups cannot be cancelled. On threads of their own, slow ones hold up other lookups and not
# whatever else the process does on its default threads.
_THREADS = ThreadPoolExecutor(8, thread_name_prefix="facets-lookup")


class AddressRefused(Exception):
    """A host leads to an address that its rule does not open. Stays within this package."""

    def __init__(self, kind: str, address: Address) -> None:
        super().__init__(kind, address)
        self.kind = kind
        self.address = address


async def system(host: str, port: int) -> Sequence[str]:
    """Ask the operating system."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(_THREADS, _lookup, host, port)
    return list(dict.fromkeys(found))


def _lookup(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


async def addresses(rule: Rule, resolver: Resolver, host: str, port: int) -> list[Address]:
    """The addresses of a host, all of them fit to be connected to.

    One that is not refuses the host: a name that mixes public and private addresses is a trap
    more often than not, and an answer that depends on their order would be worse.
    """
    try:
        found = [ipaddress.ip_address(host)]
    except ValueError:
        found = [ipaddress.ip_address(one) for one in await resolver(host, port)]
    if not found:
        raise OSError(f"{host} has no address")
    for address in found:
        why = refusal(address, rule.private, rule.host == str(address))
        if why:
            raise AddressRefused(why, address)
    return found
