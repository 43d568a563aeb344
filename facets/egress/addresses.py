"""Which addresses may be connected to.

Public addresses need a rule. Private, loopback and shared (carrier) ones need a rule with
`private=True`. Link-local, metadata and reserved ones need a rule whose host is that very
address, and `private=True`: no name may lead to them. Unspecified and multicast ones never.

An IPv6 address that carries an IPv4 one (mapped, compatible, NAT64, 6to4, Teredo, ISATAP) is
refused without `private=True`, and with it judged by the address inside.
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_PRIVATE = frozenset({"private", "loopback", "shared"})
_NAMED = frozenset({"link-local", "metadata", "reserved"})

_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            # What clouds answer on with credentials or configuration. One is public, some are
            # within ranges that private=True opens.
            "169.254.169.254", "169.254.170.2", "169.254.170.23", "168.63.129.16",
            "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
        ),
    )
)  # fmt: skip

_RANGES: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "reserved"),
    ("192.88.99.0/24", "reserved"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "reserved"),
    ("198.51.100.0/24", "reserved"),
    ("203.0.113.0/24", "reserved"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "private"),
    ("fc00::/7", "private"),
    ("ff00::/8", "multicast"),
    ("2001::/23", "reserved"),
    ("2001:db8::/32", "reserved"),
    ("3fff::/20", "reserved"),
)
_KINDS: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(network), kind) for network, kind in _RANGES
)
_GLOBAL_V6 = IPv6Network("2000::/3")

# NAT64 within a network (64:ff9b:1::/48) is left out: where its IPv4 address stands depends on
# the network, so it counts as reserved.
_LAST_32_BITS = tuple(map(IPv6Network, ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")))
_COMPATIBLE = IPv6Network("::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_ISATAP = (0x00005EFE, 0x02005EFE)


def embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, IPv4Address):
        return None
    bits = int(address)
    last = IPv4Address(bits & 0xFFFFFFFF)
    if any(address in network for network in _LAST_32_BITS):
        return last
    if address in _COMPATIBLE and bits > 1:
        return last
    if address in _SIX_TO_FOUR:
        return IPv4Address(bits >> 80 & 0xFFFFFFFF)
    if address in _TEREDO:
        return IPv4Address(int(last) ^ 0xFFFFFFFF)
    return last if (bits >> 32 & 0xFFFFFFFF) in _ISATAP else None


def kind(address: Address) -> str:
    """What sort of address it is; "public" for what the world can reach."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        address = IPv6Address(int(address))
    if address in _METADATA:
        return "metadata"
    for network, name in _KINDS:
        if address.version == network.version and address in network:
            return name
    if isinstance(address, IPv6Address) and address not in _GLOBAL_V6:
        return "reserved"
    return "public"


def refusal(address: Address, private: bool, named: bool) -> str:
    """Why the address may not be connected to, or "".

    `private` is what the rule says; `named` is whether its host is this very address.
    """
    inside = embedded(address)
    if inside is not None:
        return refusal(inside, private, named) if private else "translated"
    found = kind(address)
    opened = (
        found == "public"
        or (private and found in _PRIVATE)
        or (private and named and found in _NAMED)
    )
    return "" if opened else found
