"""The list that a wheel carries of its own files, with their hashes."""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import io
from collections.abc import Mapping

_ALGORITHMS = ("sha256", "sha384", "sha512")
_UNLISTED = ("RECORD", "RECORD.jws", "RECORD.p7s")


def check(files: Mapping[str, bytes], folder: str) -> str | None:
    """Whether the archive's files are those it lists in `folder`/RECORD; None, or what is wrong."""
    try:
        text = files[f"{folder}/RECORD"].decode()
        rows = {tuple(row) for row in csv.reader(io.StringIO(text), strict=True) if row}
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        return f"its RECORD cannot be read: {type(error).__name__}"
    listed: set[str] = set()
    unlisted = {f"{folder}/{name}" for name in _UNLISTED}
    for row in rows:
        if len(row) != 3 or row[0] in listed:
            return f"its RECORD has a line that makes no sense: {list(row[:3])!r}"[:200]
        listed.add(row[0])
        if row[0] not in unlisted and (wrong := _check(files, row)):
            return wrong
    extra = files.keys() - listed - unlisted
    return f"{min(extra)!r} is not in its RECORD" if extra else None


def _check(files: Mapping[str, bytes], row: tuple[str, ...]) -> str | None:
    path, digest, size = row
    content = files.get(path)
    if content is None:
        return None if path.endswith("/") else f"{path!r} is in its RECORD and not in the archive"
    algorithm, _, value = digest.partition("=")
    if algorithm not in _ALGORITHMS:
        return f"{path!r} has no hash in its RECORD that counts"
    try:
        expected = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except (ValueError, binascii.Error):
        expected = b""
    if hashlib.new(algorithm, content).digest() != expected:
        return f"{path!r} is not what its RECORD says"
    if size and size != str(len(content)):
        return f"{path!r} is not as long as its RECORD says"
    return None
