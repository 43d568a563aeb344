"""Names of actors, and the ids made from them."""

from __future__ import annotations

from urllib.parse import quote

from actors.errors import BadName

MAX_NAME = 1024
"""Bytes of a name in UTF-8."""
MAX_DEPTH = 32
"""Levels of facets below a root actor."""


def check_name(name: object) -> str:
    """The name itself, or `BadName` with what is wrong about it."""
    if not isinstance(name, str):
        raise BadName(f"a name is a string, not {type(name).__name__}")
    if not name:
        raise BadName("a name may not be empty")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise BadName(f"the name {name!r} is not valid Unicode") from error
    if size > MAX_NAME:
        raise BadName(f"a name has at most {MAX_NAME} bytes, this one {size}")
    return name


def root_id(kind: str, name: str) -> str:
    """The id of a root actor: `kind:name`, quoted so that no name can imitate another's."""
    return f"{quote(kind, safe='')}:{quote(name, safe=' ')}"


def facet_id(parent: str, name: str) -> str:
    """The id of a facet: its parent's and its own name."""
    return f"{parent}/{quote(name, safe=' ')}"
