"""Paths as text."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import FileError, PathInvalid, PathTooLong
from storage.files.paths import join, normalise


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/", "/"),
        (".", "/"),
        ("a", "/a"),
        ("/a/", "/a"),
        ("//a///b", "/a/b"),
        ("/a/./b/.", "/a/b"),
        ("/a/../b", "/b"),
        ("/..", "/"),
        ("../../etc/passwd", "/etc/passwd"),
        ("/a/b/../../..", "/"),
        ("/a b/ü/…", "/a b/ü/…"),
        ("...", "/..."),
        (PurePosixPath("x/y"), "/x/y"),
    ],
)
def test_a_path_is_taken_from_the_root_and_never_above_it(
    path: str | PurePosixPath, clean: str
) -> None:
    assert normalise(path) == clean


@given(st.text(st.sampled_from("/.ab"), min_size=1, max_size=30))
def test_a_normalised_path_is_absolute_clean_and_stays_as_it_is(text: str) -> None:
    clean = normalise(text)
    assert clean.startswith("/")
    assert not {"", ".", ".."} & set(clean.split("/")[1:]) or clean == "/"
    assert normalise(clean) == clean


@pytest.mark.parametrize("path", ["", "a\0b", "\ud800", "/x/\0"])
def test_text_that_cannot_be_a_path_is_refused(path: str) -> None:
    with pytest.raises(PathInvalid) as caught:
        normalise(path)
    assert isinstance(caught.value, ValueError)


def test_a_name_has_at_most_255_bytes() -> None:
    assert normalise("a" * 255) == "/" + "a" * 255
    for name in ("a" * 256, "ü" * 128):
        with pytest.raises(PathTooLong):
            normalise(name)


def test_a_path_has_at_most_4096_bytes() -> None:
    longest = "/a" * 2048
    assert normalise(longest) == longest
    with pytest.raises(PathTooLong) as caught:
        normalise(longest + "b")
    assert isinstance(caught.value, FileError)


@pytest.mark.parametrize("path", [b"/a", 1, None])
def test_a_path_is_text(path: object) -> None:
    with pytest.raises(TypeError):
        normalise(path)  # type: ignore[arg-type]


def test_joining_to_the_root_has_one_slash() -> None:
    assert join("/", "a") == "/a"
    assert join("/a", "b") == "/a/b"
