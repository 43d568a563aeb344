"""Which addresses a rule opens."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facets.egress.addresses import embedded, kind, refusal

PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "2a00::1"]
PRIVATE = [
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "127.255.255.254",
    "100.64.0.1", "100.127.255.255", "::1", "fc00::1", "fd12:3456::1", "fec0::1",
]  # fmt: skip
NAMED = [
    "169.254.169.254", "169.254.170.2", "169.254.0.1", "168.63.129.16", "100.100.100.200",
    "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fe80::1", "fe80::1%eth0",
    "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "240.0.0.1", "255.255.255.255",
    "192.88.99.1", "2001:db8::1", "3fff::1", "2001:10::1", "4000::1", "100::1", "64:ff9b:1::1",
    "5f00::1",
]  # fmt: skip
NEVER = ["0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.250", "::", "ff02::1"]


def why(address: str, private: bool, named: bool) -> str:
    return refusal(ipaddress.ip_address(address), private, named)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_needs_no_more_than_a_rule(address: str) -> None:
    assert why(address, private=False, named=False) == ""


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_needs_private(address: str) -> None:
    assert why(address, private=False, named=True) != ""
    assert why(address, private=True, named=False) == ""


@pytest.mark.parametrize("address", NAMED)
def test_a_metadata_or_link_local_or_reserved_address_must_be_named(address: str) -> None:
    assert why(address, private=False, named=True) != ""
    assert why(address, private=True, named=False) != ""
    assert why(address, private=True, named=True) == ""


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_connected_to(address: str) -> None:
    assert why(address, private=True, named=True) != ""


CARRIED = {
    "mapped": "::ffff:{0}",
    "compatible": "::{0}",
    "translated": "::ffff:0:{0}",
    "nat64": "64:ff9b::{0}",
    "isatap": "2a00::5efe:{0}",
    "isatap, global": "2a00::200:5efe:{0}",
}


@pytest.mark.parametrize("form", CARRIED.values(), ids=CARRIED)
@pytest.mark.parametrize("inside", ["1.1.1.1", "127.0.0.1", "10.0.0.1", "169.254.169.254"])
def test_an_address_that_carries_another_is_refused_or_judged_by_it(form: str, inside: str) -> None:
    address = form.format(inside)
    assert why(address, private=False, named=False) == "translated"
    assert why(address, private=True, named=False) == why(inside, private=True, named=False)


def test_6to4_and_teredo_carry_addresses_too() -> None:
    for carrier in ("2002:7f00:1::1", "2001:0:102:304::80ff:fffe"):
        address = ipaddress.ip_address(carrier)
        assert str(embedded(address)) == "127.0.0.1"
        assert refusal(address, private=False, named=False) == "translated"


@settings(deadline=None)
@given(st.ip_addresses())
def test_nothing_counts_as_public_that_the_library_knows_not_to_be(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if refusal(address, private=False, named=False) == "":
        assert kind(address) == "public"
        assert not address.is_private
        assert not address.is_loopback
        assert not address.is_link_local
        assert not address.is_multicast
        assert not address.is_unspecified
        assert not address.is_reserved
