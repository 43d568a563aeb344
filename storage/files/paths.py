"""Paths as text: checked, absolute, and never above the root."""

from __future__ import annotations

import os

from storage.errors import PathInvalid, PathTooLong

MAX_PATH = 4096
MAX_NAME = 255

AnyPath = str | os.PathLike[str]


def normalise(path: AnyPath) -> str:
    """The path from `/` on, without `.`, `..`, empty names and a slash at the end.

    A relative path begins at the root. `..` is taken as text, before links are followed, and
    at the root it stays there. Raises `PathInvalid` and `PathTooLong`.
    """
    return "/" + "/".join(parts(path))


def parts(path: AnyPath) -> list[str]:
    """The names of a normalised path; none for the root."""
    found: list[str] = []
    for name in split(path):
        if name != "..":
            found.append(name)
        elif found:
            found.pop()
    return found


def split(path: AnyPath) -> list[str]:
    """The names of a path as it stands, `..` among them."""
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"a path is text, not {type(text).__name__}")
    check(text)
    names = [name for name in text.split("/") if name not in ("", ".")]
    for name in names:
        if len(name.encode()) > MAX_NAME:
            raise PathTooLong(f"a name is over {MAX_NAME} bytes: {name[:40]!r}...", path=text)
    return names


def check(text: str) -> None:
    """Refuse text that cannot be a path or the target of a link."""
    if not text:
        raise PathInvalid("the path is empty", path=text)
    if "\0" in text:
        raise PathInvalid(f"{text!r} has a NUL in it", path=text)
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise PathInvalid(f"{text!r} is not valid Unicode", path=repr(text)) from error
    if size > MAX_PATH:
        raise PathTooLong(f"the path is over {MAX_PATH} bytes: {text[:40]!r}...", path=text)


def join(directory: str, name: str) -> str:
    """The path of an entry of a directory."""
    return f"/{name}" if directory == "/" else f"{directory}/{name}"
