"""One tarball: an archive that nobody has read yet, checked as a whole before any of it is used.

What is refused: names that leave the archive's folder or that could be read in two ways, links
and other things that are not files, names given twice, more bytes or files than `limits` allow
(what the archive claims is not believed; unpacking stops at it), and a package.json that is of
another package. Files that no module can be are left out.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from typing import Any, NoReturn

import msgspec

from facets.packages import limits
from facets.packages.errors import BadTarball
from facets.packages.wheel import too_large

KEPT = (".js", ".mjs", ".cjs", ".json")
"""Endings of files that can be imported, or that say what can be."""
_BLOCKS = 4 << 20
"""Bytes of headers and padding, more than that many files have."""


def read(content: bytes, filename: str, name: str, version: str) -> dict[str, bytes]:
    """Check an archive and take it apart: files by path; BadTarball, or PackagesTooLarge."""
    try:
        with tarfile.open(fileobj=io.BytesIO(_unpacked(content, filename)), mode="r:") as archive:
            files = _files(archive, filename)
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError) as error:
        if isinstance(error, BadTarball):
            raise
        _refuse(filename, f"it is not a tar archive: {error}")
    except RecursionError:
        _refuse(filename, "its headers are nested too deeply")
    said = manifest(files, filename)
    if said.get("name") != name or str(said.get("version", "")).lstrip("=v ") != version:
        _refuse(filename, f"it holds {said.get('name')!r} {said.get('version')!r}"[:300])
    return files


def manifest(files: dict[str, bytes], filename: str) -> dict[str, Any]:
    """What package.json says."""
    try:
        return msgspec.json.decode(
            files["package.json"].removeprefix(b"\xef\xbb\xbf"), type=dict[str, Any]
        )
    except KeyError:
        _refuse(filename, "it has no package.json")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        _refuse(filename, f"its package.json makes no sense: {error}")


def _unpacked(content: bytes, filename: str) -> bytes:
    most = limits.UNPACKED + _BLOCKS
    unpacking = zlib.decompressobj(wbits=31)
    try:
        found = unpacking.decompress(content, most + 1)
    except zlib.error as error:
        _refuse(filename, f"its content is damaged: {error}")
    if len(found) > most:
        raise too_large(filename, limits.UNPACKED, "bytes of its files")
    if not unpacking.eof:
        _refuse(filename, "its content is cut off")
    return found


def _files(archive: tarfile.TarFile, filename: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    seen: set[str] = set()
    size = 0
    for count, one in enumerate(archive, 1):
        if count > limits.ENTRIES:
            raise too_large(filename, limits.ENTRIES, "files of a tarball")
        wrong = _wrong(one)
        # The folder that everything is in may have any name.
        path = one.name.partition("/")[2]
        if wrong or (one.isreg() and path in seen):
            _refuse(filename, f"{one.name[:200]!r} {wrong or 'is in it twice'}")
        if not one.isreg() or not path:
            continue
        seen.add(path)
        size += one.size
        if size > limits.UNPACKED:
            raise too_large(filename, limits.UNPACKED, "bytes of its files")
        if path.endswith(KEPT):
            files[path] = _content(archive, one, filename)
    for path in seen:
        if any(above in seen for above in _above(path)):
            _refuse(filename, f"{path[:200]!r} is below a file")
    return files


def _wrong(one: tarfile.TarInfo) -> str | None:
    """What is wrong about an entry, before it is read."""
    path = one.name.rstrip("/")
    if not path.isprintable() or "\\" in path or ":" in path:
        return "can be read in two ways"
    if any(part in ("", ".", "..") for part in path.split("/")) or len(path) > 512:
        return "is not a path below the archive's folder"
    if not (one.isreg() or one.isdir()) or one.issparse():
        return "is a link, or something else that is not a file"
    return None


def _content(archive: tarfile.TarFile, one: tarfile.TarInfo, filename: str) -> bytes:
    file = archive.extractfile(one)
    content = file.read(one.size + 1) if file else b""
    if len(content) != one.size:
        _refuse(filename, f"{one.name[:200]!r} is not as long as it claims")
    return content


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def _refuse(filename: str, reason: str) -> NoReturn:
    raise BadTarball(
        f"{filename} is refused: {reason}"[:500], filename=filename, reason=reason[:400]
    )
