"""Keys that every object store can hold, and that name a file inside its folder and no other."""

from __future__ import annotations

import re

from storage.errors import ObjectKeyInvalid

MAX_KEY = 1000
"""S3 allows 1,024 bytes, of which a prefix in the url takes its part."""
_PART = re.compile(r"[A-Za-z0-9._=-]{1,255}", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9._=/-]*", re.ASCII)


def check_key(key: str) -> str:
    """The key itself; `ObjectKeyInvalid` if some store could not hold it, or it leads outside."""
    if len(key) > MAX_KEY or not all(_is_part(part) for part in key.split("/")):
        raise ObjectKeyInvalid(f"{key[:200]!r} is not a key", key=key)
    return key


def check_part(part: str) -> str:
    """One part of a key, as a name to build keys from; `ObjectKeyInvalid` if it cannot be one."""
    if not _is_part(part):
        raise ObjectKeyInvalid(f"{part[:200]!r} is not a part of a key", key=part)
    return part


def check_prefix(prefix: str) -> str:
    """The folder that a prefix points into, "" or ending in `/`; `ObjectKeyInvalid` as above."""
    folder = prefix[: prefix.rfind("/") + 1]
    if folder:
        check_key(folder[:-1])
    if len(prefix) > MAX_KEY or not _PREFIX.fullmatch(prefix):
        raise ObjectKeyInvalid(f"{prefix[:200]!r} is not a prefix of keys", key=prefix)
    return folder


def _is_part(part: str) -> bool:
    return part not in (".", "..") and _PART.fullmatch(part) is not None
