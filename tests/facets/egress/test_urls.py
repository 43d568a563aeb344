"""One reading of a URL, and no other."""

from __future__ import annotations

import ipaddress

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from facets.egress import urls
from facets.egress.errors import EgressDenied

PLAIN = {
    "https://example.com": "https://example.com/",
    "HTTPS://EXAMPLE.com:443/": "https://example.com/",
    "http://example.com:80/a": "http://example.com/a",
    "http://example.com:443/a": "http://example.com:443/a",
    "https://example.com?q=a b&c=ü": "https://example.com/?q=a%20b&c=%C3%BC",
    "https://example.com/a b/ü?": "https://example.com/a%20b/%C3%BC?",
    "https://example.com/%7Euser/100%": "https://example.com/%7Euser/100%25",
    "https://example.com/a/./b/../c#part": "https://example.com/a/c",
    "https://example.com/a/%2e%2E/%2e/c": "https://example.com/c",
    "https://example.com/../../etc": "https://example.com/etc",
    "https://example.com/a/..": "https://example.com/",
    "https://bücher.example/": "https://xn--bcher-kva.example/",
    "https://BÜCHER.example/": "https://xn--bcher-kva.example/",
    "https://\u212aelvin.example/": "https://kelvin.example/",
    "http://192.0.2.1:8080/": "http://192.0.2.1:8080/",
    "http://[2001:DB8:0::1]:8080/": "http://[2001:db8::1]:8080/",
    "http://my_service:8080/": "http://my_service:8080/",
}


@pytest.mark.parametrize("url", PLAIN)
def test_a_plain_url_becomes_canonical_and_stays_so(url: str) -> None:
    assert urls.parse(url).url == PLAIN[url]
    assert urls.parse(PLAIN[url]).url == PLAIN[url]


HOSTILE = {
    "user information": "https://api.example.com@evil.test/",
    "user and password": "https://user:pw@api.example.com/",
    "empty user": "https://@api.example.com/",
    "encoded at": "https://api.example.com%40evil.test/",
    "at after port": "https://api.example.com:443@evil.test/",
    "backslash in authority": "https://evil.test\\@api.example.com/",
    "backslash ends host": "https://evil.test\\.api.example.com/",
    "backslash in path": "https://api.example.com/\\evil.test",
    "backslashes for slashes": "https:\\\\evil.test/",
    "one slash": "https:/evil.test/",
    "three slashes": "https:///evil.test/",
    "no scheme": "evil.test/",
    "scheme relative": "//evil.test/",
    "file": "file:///etc/passwd",
    "gopher": "gopher://127.0.0.1:6379/_INFO",
    "javascript": "javascript://example.com/%0aalert(1)",
    "ftp": "ftp://example.com/",
    "scheme with a long s": "http\u017f://example.com/",
    "line feed": "https://api.example.com/\nHost: evil.test",
    "carriage return": "https://api.example.com/\r\nX: y",
    "tab in host": "https://api.exa\tmple.com/",
    "nul": "https://api.example.com\0.evil.test/",
    "leading space": " https://api.example.com/",
    "space in host": "https://api.example.com .evil.test/",
    "space before port": "https://api.example.com :80/",
    "c1 control": "https://api.example.com/\x85",
    "surrogate": "https://api.example.com/\ud800",
    "encoded line end in path": "https://api.example.com/%0d%0aX:%20y",
    "encoded nul in path": "https://api.example.com/a%00b",
    "encoded host": "https://%65xample.com/",
    "encoded dot in host": "https://api%2eexample.com/",
    "decimal address": "http://2130706433/",
    "hexadecimal address": "http://0x7f000001/",
    "hexadecimal part": "http://127.0.0.0x1/",
    "octal address": "http://017700000001/",
    "octal parts": "http://0177.0.0.1/",
    "leading zero": "http://127.0.0.01/",
    "short address": "http://127.1/",
    "shorter address": "http://127.0.1/",
    "address with a dot behind": "http://127.0.0.1./",
    "five parts": "http://1.2.3.4.5/",
    "part over 255": "http://256.0.0.1/",
    "number after a name": "http://example.1/",
    "hexadecimal after a name": "http://example.0x1/",
    "empty hexadecimal": "http://0x/",
    "zero": "http://0/",
    "trailing dot": "https://api.example.com./",
    "two trailing dots": "https://api.example.com../",
    "empty label": "https://api..example.com/",
    "leading dot": "https://.example.com/",
    "ideographic full stop": "http://127\u30020\u30020\u30021/",
    "fullwidth full stop": "https://api\uff0eexample.com/",
    "fullwidth digits": "http://\uff11\uff12\uff17.0.0.1/",
    "circled digits": "http://\u2460\u2461\u2466.0.0.1/",
    "fullwidth letters": "https://\uff45xample.com/",
    "fullwidth slash": "https://evil.test\uff0f.example.com/",
    "zero width joiner": "https://exam\u200dple.com/",
    "soft hyphen": "https://exam\u00adple.com/",
    "right to left": "https://\u202eexample.com/",
    "no host": "https:///path",
    "only a port": "https://:443/",
    "empty port": "https://api.example.com:/",
    "port with a sign": "https://api.example.com:+443/",
    "port with a zero": "https://api.example.com:0443/",
    "port zero": "https://api.example.com:0/",
    "port too large": "https://api.example.com:65536/",
    "port that wraps": "https://api.example.com:65979/",
    "port in arabic digits": "https://api.example.com:\u0664\u0664\u0663/",
    "two ports": "https://api.example.com:80:443/",
    "unclosed bracket": "http://[::1/",
    "bracket behind": "http://::1]/",
    "address without brackets": "http://::1/",
    "text after bracket": "http://[::1].example.com/",
    "text before bracket": "http://example.com[::1]/",
    "address in brackets": "http://[127.0.0.1]/",
    "future address": "http://[v1.a]/",
    "zone": "http://[fe80::1%25eth0]/",
    "zone as it stands": "http://[fe80::1%eth0]/",
    "star": "https://*.example.com/",
    "quote": "https://exam'ple.com/",
    "comma": "https://a.example,b.example/",
    "semicolon": "https://a.example;b.example/",
    "dollar": "https://${host}/",
    "bar": "https://a|b/",
    "label too long": f"https://{'a' * 64}.example/",
    "host too long": f"https://{'a.' * 127}example/",
    "url too long": f"https://example.com/{'a' * 9000}",
    "empty": "",
}


@pytest.mark.parametrize("url", HOSTILE.values(), ids=HOSTILE)
def test_what_two_parsers_may_read_differently_is_refused(url: str) -> None:
    with pytest.raises(EgressDenied) as caught:
        urls.parse(url)
    assert caught.value.reason == "url"


def test_errors_show_neither_query_nor_user_information() -> None:
    with pytest.raises(EgressDenied) as caught:
        urls.parse("https://me:secret-1@example.com:x/path?key=secret-2#secret-3")
    assert "secret" not in str(caught.value)
    assert caught.value.url == "https://example.com:x/path"


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("https://other.test/x", "https://other.test/x"),
        ("//other.test/x", "http://other.test/x"),
        ("/x?y", "http://api.test:8080/x?y"),
        ("x", "http://api.test:8080/a/x"),
        ("../x", "http://api.test:8080/x"),
        ("?y", "http://api.test:8080/a/b?y"),
        ("#part", "http://api.test:8080/a/b?q"),
        ("", "http://api.test:8080/a/b?q"),
    ],
)
def test_a_location_is_read_from_where_it_was_given(location: str, leads_to: str) -> None:
    base = urls.parse("http://api.test:8080/a/b?q")
    assert urls.follow(base, location).url == leads_to


@pytest.mark.parametrize(
    "location",
    [
        "javascript:alert(1)", "file:///etc/passwd", "data:,x", "http:evil.test", "///evil.test/",
        "/\\evil.test/", "\\\\evil.test\\x", "//user@evil.test/", "https:evil.test", "//127.1/",
        "/x\r\nSet-Cookie: a=b", "//evil.test\\@api.test/", ":A:", "a:b/c",
    ],
)  # fmt: skip
def test_a_location_that_is_not_plain_leads_nowhere(location: str) -> None:
    with pytest.raises(EgressDenied):
        urls.follow(urls.parse("http://api.test:8080/a/b"), location)


AUTHORITY = st.text("ab1.:@/\\[]%0xf-_ #?é。ß\t", max_size=24)
PIECES = st.sampled_from(
    ["api.test", "evil.test", "@", ":", "\\", "/", "#", "?", "%2f", "%40", "127.0.0.1", "0x7f.1",
     "[::1]", "[", "]", "::1", ".", "。", "\uff0f", ":80", ":443", "user", "xn--bcher-kva", "ü"]
)  # fmt: skip
TEXTS = st.one_of(AUTHORITY, st.lists(PIECES, max_size=8).map("".join), st.text(max_size=24))


@settings(deadline=None)
@given(st.sampled_from(["http", "https", "HTTP", "ftp", ""]), st.sampled_from(["://", ":"]), TEXTS)
@example("https", "://", "api.test")
@example("http", "://", "[::ffff:127.0.0.1]:8080/a")
def test_what_is_seen_as_one_host_is_never_another_to_httpx(
    scheme: str, separator: str, rest: str
) -> None:
    url = scheme + separator + rest
    try:
        target = urls.parse(url)
    except EgressDenied:
        return
    _agrees(target, httpx.URL(url))
    _agrees(target, httpx.URL(target.url))


def _agrees(target: urls.Target, theirs: httpx.URL) -> None:
    assert theirs.scheme == target.scheme
    assert (theirs.port or urls.PORTS[theirs.scheme]) == target.port
    assert theirs.userinfo == b""
    ours, host = target.host, theirs.raw_host.decode()
    if ":" in ours:
        assert ipaddress.ip_address(ours) == ipaddress.ip_address(host)
    else:
        assert ours == host


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_what_is_sent_is_what_was_matched(path: str, query: str) -> None:
    try:
        target = urls.parse(f"https://api.test/{path}?{query}")
    except EgressDenied:
        return
    sent = httpx.URL(
        scheme=target.scheme, host=target.host, port=target.port, raw_path=target.resource.encode()
    )
    assert (sent.host, sent.raw_path.decode()) == (target.host, target.resource)
    assert target.resource.isascii()
    assert " " not in target.resource


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_no_location_leads_where_another_parser_would_not_go(path: str, location: str) -> None:
    try:
        base = urls.parse(f"https://api.test/{path}")
        target = urls.follow(base, location)
    except EgressDenied:
        return
    try:
        theirs = httpx.URL(base.url).join(location)
    except httpx.InvalidURL:
        return
    if location.strip(" ") == location:  # httpx strips what we encode
        assert theirs.host == (target.host if ":" in target.host else httpx.URL(target.url).host)
