"""One wheel: an archive that nobody has read yet, checked as a whole before any of it is used.

What is refused: names that leave the archive's folder or that could be read in two ways, links
and other things that are not files, names given twice, more bytes or files than `limits` allow
(what the archive claims is not believed; reading stops at it), files that are not what the
archive's own RECORD says, and machine code. Scripts, headers and files for other places than the
packages are left out, and so are `.pth` files and compiled bytecode: nothing in an isolate would
run them, and nothing may.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from email.parser import BytesHeaderParser
from typing import NamedTuple, NoReturn

from facets.packages import limits, record
from facets.packages.errors import BadWheel, PackagesTooLarge
from facets.packages.fallbacks import is_compiled

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_FOLDER = re.compile(r"([^-/]+)-([^-/]+)\.dist-info")
_INSIDE = re.compile(r"[^/]+\.data/(?:purelib|platlib)/(.+)")
_ELSEWHERE = re.compile(r"[^/]+\.data/")
_ENCRYPTED = 0x1


class Wheel(NamedTuple):
    """What is in it: its metadata, and its files by the path that they are imported from."""

    metadata: bytes
    files: dict[str, bytes]


def read(content: bytes, filename: str, stripped: bool = False) -> Wheel:
    """Check an archive and take it apart; BadWheel, or PackagesTooLarge.

    With `stripped`, compiled files are left out; else they are refused.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = _files(archive, filename)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        _refuse(filename, f"it is not a zip archive: {error}")
    except (zlib.error, UnicodeDecodeError) as error:
        _refuse(filename, f"its content is damaged: {error}")
    folder = _folder(files, filename)
    wrong = record.check(files, folder)
    if wrong:
        _refuse(filename, wrong)
    _check_version(files, folder, filename)
    return Wheel(files[f"{folder}/METADATA"], _placed(files, filename, stripped))


def _files(archive: zipfile.ZipFile, filename: str) -> dict[str, bytes]:
    entries = archive.infolist()
    if len(entries) > limits.ENTRIES:
        raise too_large(filename, limits.ENTRIES, "files of a wheel")
    claimed = sum(one.file_size for one in entries)
    if claimed > limits.UNPACKED:
        raise too_large(filename, limits.UNPACKED, "bytes of its files")
    files: dict[str, bytes] = {}
    folders: set[str] = set()
    for one in entries:
        wrong = _wrong(one)
        path = one.filename.rstrip("/")
        if wrong or path in files:
            _refuse(filename, f"{one.filename[:200]!r} {wrong or 'is in it twice'}")
        folders.update(_above(path))
        if one.is_dir():
            folders.add(path)
        else:
            files[path] = _content(archive, one, filename)
    for path in folders & files.keys():
        _refuse(filename, f"{path[:200]!r} is a file and a folder")
    return files


def _wrong(one: zipfile.ZipInfo) -> str | None:
    """What is wrong about an entry, before it is read."""
    path = one.filename.removesuffix("/")
    parts = path.split("/")
    if one.orig_filename != one.filename or not path.isprintable() or "\\" in path:
        return "can be read in two ways"
    if ":" in parts[0] or any(part in ("", ".", "..") for part in parts) or len(path) > 1024:
        return "is not a path below the archive's folder"
    kind = stat.S_IFMT(one.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if one.is_dir() else stat.S_IFREG):
        return "is a link, or something else that is not a file"
    if one.flag_bits & _ENCRYPTED or one.compress_type not in _METHODS:
        return "is packed in a way that wheels are not"
    return None


def _content(archive: zipfile.ZipFile, one: zipfile.ZipInfo, filename: str) -> bytes:
    with archive.open(one) as file:
        content = file.read(one.file_size + 1)
    if len(content) != one.file_size:
        _refuse(filename, f"{one.filename[:200]!r} is not as long as it claims")
    return content


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def _folder(files: dict[str, bytes], filename: str) -> str:
    """The wheel's .dist-info folder: there is one, and it is named as the wheel is."""
    found = {path.partition("/")[0] for path in files if ".dist-info/" in path}
    folders = [one for one in found if one.endswith(".dist-info")]
    if len(folders) != 1 or not (match := _FOLDER.fullmatch(folders[0])):
        _refuse(filename, "it does not have exactly one .dist-info folder")
    name, version = filename.split("-")[:2]
    if normal(match[1]) != normal(name) or match[2].lower() != version.lower():
        _refuse(filename, f"it holds {folders[0]!r}")
    if f"{folders[0]}/METADATA" not in files:
        _refuse(filename, "it has no METADATA")
    return folders[0]


def _check_version(files: dict[str, bytes], folder: str, filename: str) -> None:
    said = BytesHeaderParser().parsebytes(files.get(f"{folder}/WHEEL", b""))
    version = said.get("Wheel-Version", "nothing")
    if version.partition(".")[0] != "1":
        _refuse(filename, f"its format is {version[:20]}, not version 1")


def _placed(files: dict[str, bytes], filename: str, stripped: bool) -> dict[str, bytes]:
    """The files that can be imported or read, where they are found."""
    placed: dict[str, bytes] = {}
    for path, content in files.items():
        inside = _INSIDE.fullmatch(path)
        where = inside[1] if inside else path
        if is_compiled(path):
            if not stripped:
                _refuse(filename, f"{path[:200]!r} is machine code, in a wheel of pure Python")
        elif inside or not (_ELSEWHERE.match(path) or _unused(path)):
            if where in placed:
                _refuse(filename, f"{where[:200]!r} is in it twice")
            placed[where] = content
    return placed


def _unused(path: str) -> bool:
    return path.endswith(".pyc") or (path.endswith(".pth") and "/" not in path)


def normal(name: str) -> str:
    """The one spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def too_large(filename: str, limit: int, what: str) -> PackagesTooLarge:
    """The error for a wheel over a limit."""
    return PackagesTooLarge(
        f"{filename} is over the limit of {limit} {what}", limit=limit, what=what
    )


def _refuse(filename: str, reason: str) -> NoReturn:
    raise BadWheel(f"{filename} is refused: {reason}"[:500], filename=filename, reason=reason[:400])
