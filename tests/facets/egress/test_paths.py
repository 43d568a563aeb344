"""A path is allowed if every server would read it as one that is."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facets.egress import paths, urls
from facets.egress.errors import EgressDenied

FIT = [
    ("/v1/*", "/v1/users", True),
    ("/v1/*", "/v1/", True),
    ("/v1/*", "/v1/users/7", False),
    ("/v1/*", "/v1", False),
    ("/v1/**", "/v1/users/7", True),
    ("/v1/**", "/v10/users", False),
    ("/v1/*/posts", "/v1/7/posts", True),
    ("/v1/*/posts", "/v1/7/8/posts", False),
    ("/**/raw", "/a/b/raw", True),
    ("/a.b", "/axb", False),
    ("/v1", "/V1", False),
    ("/v1/*", "/v1/a%20b", True),
    ("/v1/**", "/v1/group%2Fproject", True),
    ("/v1/*", "/v1/%C3%BC", True),
    ("/v1/*", "/v1/100%25", True),
    ("/v1/*", "/v1/group%2Fproject", False),
]


@pytest.mark.parametrize(("pattern", "path", "fits"), FIT)
def test_stars_stay_within_a_segment_and_two_stars_do_not(
    pattern: str, path: str, fits: bool
) -> None:
    assert paths.allowed(path, (pattern,)) is fits


ESCAPES = [
    "/public/..%2fadmin", "/public/..%2Fadmin", "/public/%2e%2e%2fadmin", "/public/..%5cadmin",
    "/public/%2e%2e%5Cadmin", "/public/%252e%252e/admin", "/public/..%252fadmin",
    "/public/%25252e%25252e%25252fadmin", "/public/..;/admin", "/public/..;x=y/admin",
    "/public/%2e%2e;/admin", "/public/.%2e;a/admin", "/public/..%3b/admin",
    "/public/%c0%ae%c0%ae/admin", "/public/..%c0%afadmin",
    "/public/a/../../admin", "/public/%2e%2e/admin", "/public/%" + "25" * 9 + "2e/x",
]  # fmt: skip


@pytest.mark.parametrize("path", ESCAPES)
def test_no_spelling_of_dots_and_slashes_climbs_out_of_a_pattern(path: str) -> None:
    target = urls.parse(f"https://api.test{path}")
    assert not paths.allowed(target.path, ("/public/**",))


SPELLINGS = st.sampled_from(
    ["..", ".", "/", "%2e", "%2F", "%5c", "%25", "2e", "2f", ";", "a", "public", "admin", "//"]
)


@settings(deadline=None)
@given(st.lists(SPELLINGS, max_size=8).map("".join))
def test_what_is_allowed_stays_inside_however_often_it_is_decoded(rest: str) -> None:
    try:
        path = urls.parse(f"https://api.test/public/{rest}").path
    except EgressDenied:
        return
    if not paths.allowed(path, ("/public/**",)):
        return
    for _ in range(4):
        climbed = paths.without_dots(path.replace("\\", "/"))
        assert climbed.startswith("/public/")
        path = unquote(path)


@pytest.mark.parametrize("pattern", ["v1", "", "/a?b", "/a#b", "/a/../b", "/***", "/a\\b", "/."])
def test_a_pattern_without_sense_is_an_error(pattern: str) -> None:
    with pytest.raises(ValueError, match="path pattern"):
        paths.pattern(pattern)
