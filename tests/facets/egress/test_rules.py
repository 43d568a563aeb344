"""Default deny, and the first rule that fits."""

from __future__ import annotations

from typing import Any

import pytest

from facets.egress import Rule, urls
from facets.egress.errors import EgressDenied
from facets.egress.rules import choose

API = Rule("api.example.com", methods=["get", "POST"], paths=["/v1/*"])
BELOW = Rule("*.example.com", port=8443)
PLAIN = Rule("plain.example.com", scheme="http")
RULES = [API, BELOW, PLAIN]


@pytest.mark.parametrize(
    ("method", "url", "rule"),
    [
        ("GET", "https://api.example.com/v1/users?x=1", API),
        ("POST", "https://API.example.com:443/v1/", API),
        ("GET", "https://api.example.com:8443/v2", BELOW),
        ("HEAD", "https://a.b.example.com:8443/", BELOW),
        ("GET", "http://plain.example.com/", PLAIN),
    ],
)
def test_the_first_rule_that_fits_in_every_respect_decides(
    method: str, url: str, rule: Rule
) -> None:
    assert choose(RULES, urls.parse(url), method) is rule


@pytest.mark.parametrize(
    ("method", "url", "nearest"),
    [
        ("GET", "https://evil.test/", "no rule names this host"),
        ("GET", "https://example.com:8443/", "no rule names this host"),
        ("GET", "https://notexample.com:8443/", "no rule names this host"),
        ("GET", "https://api.example.com.evil.test/", "no rule names this host"),
        ("GET", "https://other.example.com/", "the port"),
        ("GET", "http://api.example.com/v1/x", "the scheme"),
        ("GET", "https://plain.example.com/", "the port"),
        ("GET", "https://api.example.com:444/v1/x", "the port"),
        ("DELETE", "https://api.example.com/v1/x", "the method"),
        ("POST", "https://a.example.com:8443/", "the method"),
        ("GET", "https://api.example.com/v2/x", "the path"),
        ("GET", "https://api.example.com/v1/x/y", "the path"),
    ],
)
def test_what_no_rule_allows_is_denied_and_the_error_says_what_came_closest(
    method: str, url: str, nearest: str
) -> None:
    with pytest.raises(EgressDenied, match=nearest) as caught:
        choose(RULES, urls.parse(url), method)
    assert caught.value.reason == "rule"


def test_without_rules_nothing_is_allowed() -> None:
    with pytest.raises(EgressDenied):
        choose([], urls.parse("https://example.com"), "GET")


def test_a_host_of_a_rule_is_compared_as_hosts_of_urls_are() -> None:
    assert Rule("BÜCHER.example").host == "xn--bcher-kva.example"
    assert Rule("*.BÜCHER.example").host == "*.xn--bcher-kva.example"
    assert Rule("2001:DB8:0::1").host == Rule("[2001:db8::1]").host == "2001:db8::1"
    assert Rule("[2001:db8::1]", port=8443).label == "https://[2001:db8::1]:8443"


def test_a_star_is_any_host() -> None:
    for url in ("https://1.1.1.1/", "https://[2606:4700::1]/", "https://a.b/"):
        assert choose([Rule("*")], urls.parse(url), "GET")


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": ""}, {"host": "exa mple.com"}, {"host": "a.*.com"}, {"host": "*example.com"},
        {"host": "*.1.1.1"}, {"host": "*.::1"}, {"host": "127.1"}, {"host": "a.test/x"},
        {"host": "a.test:80"}, {"host": "a.test."}, {"scheme": "ftp"}, {"port": 0},
        {"port": 65536}, {"methods": "GET"}, {"methods": ["CONNECT"]}, {"methods": ["TRACE"]},
        {"methods": ["GET "]}, {"paths": "/v1"}, {"paths": ["v1"]},
        {"host": "*", "private": True}, {"scheme": "http", "credentials": {"X": "y"}},
    ],
    ids=repr,
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Rule(**({"host": "a.test"} | wrong))


def test_a_list_that_is_changed_later_does_not_widen_a_rule() -> None:
    methods, paths, secret = ["GET"], ["/v1/*"], {"X-Key": "first"}
    rule = Rule("a.test", methods=methods, paths=paths, credentials=secret)
    methods.append("DELETE")
    paths.append("/**")
    secret["X-Key"] = "second"
    assert (rule.methods, rule.paths, rule.credentials) == (
        ("GET",),
        ("/v1/*",),
        {"X-Key": "first"},
    )


def test_a_rule_does_not_show_its_credentials() -> None:
    assert "hush" not in repr(Rule("a.test", credentials={"X-Key": "hush"}))
