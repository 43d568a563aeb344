"""Archives that nobody has read: what is taken, and what is refused as a whole."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pytest

from facets.errors import BadTarball, PackagesTooLarge
from facets.packages import limits
from facets.packages.npm.tarball import read
from tests.packages.npm.kit import entry, packed, tarball

NAME = "pack-1.0.0.tgz"
SAID = entry("package/package.json", json.dumps({"name": "pack", "version": "1.0.0"}).encode())


def taken(content: bytes) -> dict[str, bytes]:
    return read(content, NAME, "pack", "1.0.0")


def test_files_that_can_be_imported_are_taken_from_whatever_folder_they_are_in() -> None:
    info, said = SAID
    info.name = "any-name/package.json"
    made = packed(
        (info, said),
        entry("any-name/lib/a.mjs", b"a"),
        entry("any-name/README.md", b"no"),
        entry("any-name/bin/run", b"no", mode=0o755),
    )
    info.name = "package/package.json"

    assert taken(made) == {"package.json": said, "lib/a.mjs": b"a"}


@pytest.mark.parametrize(
    "name",
    [
        "package/../../etc/passwd", "/etc/passwd", "package/./a.js", "package//a.js",
        "package/a\\b.js", "package/a\x01.js", "package/C:/a.js", "../a.js",
        "package/\u202ea.js", "package/" + "a" * 600 + ".js",
    ],
)  # fmt: skip
def test_a_name_that_leaves_the_folder_or_deceives_is_refused(name: str) -> None:
    with pytest.raises(BadTarball):
        taken(packed(SAID, entry(name, b"x")))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_what_is_not_a_file_is_refused(kind: bytes) -> None:
    with pytest.raises(BadTarball, match="not a file"):
        taken(packed(SAID, entry("package/a.js", type=kind, linkname="/etc/passwd")))


def test_a_sparse_file_which_is_larger_than_the_archive_is_refused() -> None:
    header, _ = entry("package/a.js")
    header.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1",
                          "GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 40)}  # fmt: skip
    with pytest.raises(BadTarball):
        taken(packed(SAID, (header, b"")))


def test_a_file_given_twice_is_refused() -> None:
    with pytest.raises(BadTarball, match="twice"):
        taken(packed(SAID, entry("package/a.js", b"1"), entry("other/a.js", b"2")))


def test_a_file_that_is_a_folder_too_is_refused() -> None:
    with pytest.raises(BadTarball, match="below a file"):
        taken(packed(SAID, entry("package/a.js", b"1"), entry("package/a.js/b.js", b"2")))


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNPACKED", 1 << 20)
    monkeypatch.setattr("facets.packages.npm.tarball._BLOCKS", 1 << 16)
    bomb = gzip.compress(bytes(64 << 20), 9)
    assert len(bomb) < 1 << 17
    with pytest.raises(PackagesTooLarge) as caught:
        taken(bomb)
    assert caught.value.limit == 1 << 20


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ENTRIES", 10)
    with pytest.raises(PackagesTooLarge, match="10 files"):
        taken(packed(SAID, *[entry(f"package/{n}.js") for n in range(10)]))


def test_headers_that_are_headers_of_headers_are_refused() -> None:
    buffer = io.BytesIO()
    one = tarfile.TarInfo("x")
    one.type, one.size = tarfile.XHDTYPE, 512
    record = b"11 a=bcdef\n" + bytes(501)
    for _ in range(3000):
        buffer.write(one.tobuf(tarfile.USTAR_FORMAT) + record)
    with pytest.raises(BadTarball):
        taken(gzip.compress(buffer.getvalue(), 1))


@pytest.mark.parametrize("cut", [0, 1, 20, 100, -1, -8])
def test_what_is_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(BadTarball):
        taken(tarball("pack", files={"a.js": "x" * 1000})[:cut])


def test_every_changed_byte_is_refused_or_changes_nothing_but_the_content() -> None:
    whole = gzip.decompress(tarball("pack", files={"a.js": "export const a = 1;"}))
    for at in range(0, 2048, 7):
        changed = bytearray(whole)
        changed[at] ^= 0x15
        try:
            files = taken(gzip.compress(bytes(changed), 0))
        except (BadTarball, PackagesTooLarge):
            continue
        assert "package.json" in files


@pytest.mark.parametrize(
    "content", [b"", b"not an archive", gzip.compress(b"neither"), gzip.compress(b"")]
)
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    with pytest.raises(BadTarball):
        taken(content)


@pytest.mark.parametrize(
    "said",
    [
        b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"name":"pack","version":"2.0.0"}',
        b'{"name":"other","version":"1.0.0"}',
    ],
)  # fmt: skip
def test_a_package_that_does_not_say_what_it_is_is_refused(said: bytes) -> None:
    with pytest.raises(BadTarball):
        taken(packed(entry("package/package.json", said)))
