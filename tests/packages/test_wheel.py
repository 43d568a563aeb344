"""Archives that nobody has read: what is taken, and what is refused as a whole."""

from __future__ import annotations

import io
import stat
import struct
import zipfile

import pytest

from facets.errors import BadWheel, PackagesTooLarge
from facets.packages import limits
from facets.packages.wheel import read
from tests.packages.kit import packed, record, wheel

NAME = "pack-1.0-py3-none-any.whl"


def test_files_are_where_they_are_imported_from() -> None:
    made = wheel(
        "pack",
        files={
            "pack/__init__.py": "a",
            "pack/data.json": "{}",
            "pack-1.0.data/purelib/other.py": "b",
            "pack-1.0.data/scripts/run": "#!python",
            "pack-1.0.data/headers/pack.h": "",
            "pack/__pycache__/x.cpython-314.pyc": "c",
            "pack.pth": "import os",
        },
    )
    found = read(made, NAME)

    assert sorted(found.files) == [
        "other.py",
        "pack-1.0.dist-info/METADATA",
        "pack-1.0.dist-info/RECORD",
        "pack-1.0.dist-info/WHEEL",
        "pack/__init__.py",
        "pack/data.json",
    ]
    assert found.files["other.py"] == b"b"
    assert b"Name: pack" in found.metadata


def test_compiled_files_are_left_out_where_that_is_known_to_work() -> None:
    made = wheel("pack", files={"pack/__init__.py": "", "pack/_fast.cpython-314-x.so": "\x7fELF"})

    assert "pack/_fast.cpython-314-x.so" not in read(made, NAME, stripped=True).files


@pytest.mark.parametrize("name", ["pack/_fast.so", "pack/_fast.pyd", "libx.so.1", "a/b.DLL"])
def test_machine_code_in_a_wheel_of_pure_python_is_refused(name: str) -> None:
    with pytest.raises(BadWheel, match="is machine code"):
        read(wheel("pack", files={name: b"\x7fELF"}), NAME)


@pytest.mark.parametrize(
    "name",
    ["../x.py", "/etc/x.py", "a/../../x.py", "a/./x.py", "a//x.py", "C:/x.py", ".", "x" * 1025],
)
def test_a_name_that_leaves_the_folder_is_refused(name: str) -> None:
    with pytest.raises(BadWheel, match="is not a path below"):
        read(wheel("pack", files={name: ""}), NAME)


@pytest.mark.parametrize("name", ["a\\x.py", "a\nx.py", "a\x7fx.py", "a\u202ex.py"])
def test_a_name_that_can_be_read_in_two_ways_is_refused(name: str) -> None:
    with pytest.raises(BadWheel, match="two ways"):
        read(wheel("pack", files={name: ""}), NAME)


def test_a_name_with_a_zero_in_it_is_refused() -> None:
    with pytest.raises(BadWheel, match="two ways"):
        read(wheel("pack", files={"a@x.py": ""}).replace(b"a@x.py", b"a\0x.py"), NAME)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR])
def test_links_and_devices_are_refused(kind: int) -> None:
    buffer = io.BytesIO(wheel("pack"))
    with zipfile.ZipFile(buffer, "a") as archive:
        one = zipfile.ZipInfo("pack/link")
        one.external_attr = (kind | 0o777) << 16
        archive.writestr(one, "/etc/passwd")
    with pytest.raises(BadWheel, match="is a link, or something else"):
        read(buffer.getvalue(), NAME)


def test_a_name_given_twice_is_refused() -> None:
    made = wheel("pack", files={"one.py": "x = 1", "two.py": "x = 1"})
    with pytest.raises(BadWheel, match="twice"):
        read(made.replace(b"two.py", b"one.py"), NAME)


def test_a_file_that_is_a_folder_too_is_refused() -> None:
    with pytest.raises(BadWheel, match="a file and a folder"):
        read(wheel("pack", files={"a/b.py": "", "a": ""}), NAME)
    with pytest.raises(BadWheel, match="twice"):
        read(wheel("pack", files={"pack-1.0.data/purelib/x.py": "", "x.py": ""}), NAME)


def test_an_archive_that_unpacks_to_too_much_is_refused_unread() -> None:
    made = wheel("pack", files={"big": bytes(limits.UNPACKED)})
    assert len(made) < 100_000
    with pytest.raises(PackagesTooLarge, match="bytes of its files"):
        read(made, NAME)


def test_what_an_archive_claims_about_sizes_is_not_believed() -> None:
    made = wheel("pack", files={"big": bytes(1 << 20)})
    small = made.replace(struct.pack("<I", 1 << 20), struct.pack("<I", 10))
    assert small != made
    with pytest.raises(BadWheel):
        read(small, NAME)


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ENTRIES", 5)
    read(wheel("pack", files={"a.py": "", "b.py": ""}), NAME)
    with pytest.raises(PackagesTooLarge, match="5 files"):
        read(wheel("pack", files={"a.py": "", "b.py": "", "c.py": ""}), NAME)


INFO = "pack-1.0.dist-info"


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ("", "is not in its RECORD"),
        (f"pack.py,sha256=AAAA,15\n{INFO}/RECORD,,\n", "is not what its RECORD says"),
        ("pack.py,md5=AAAA,15\n", "no hash in its RECORD that counts"),
        ("pack.py,,\n", "no hash in its RECORD that counts"),
        ("gone.py,sha256=AAAA,15\n", "and not in the archive"),
        ("pack.py\n", "a line that makes no sense"),
        ("pack.py,sha256=AAAA,1\npack.py,sha256=BBBB,1\n", "RECORD"),
        ('"pack.py', "cannot be read: Error"),
        (b"\xff\xfe", "cannot be read: UnicodeDecodeError"),
    ],
)
def test_files_that_are_not_those_of_the_record_are_refused(listed: str | bytes, said: str) -> None:
    with pytest.raises(BadWheel, match=said):
        read(wheel("pack", RECORD=listed), NAME)


def test_a_size_that_is_not_that_of_the_record_is_refused() -> None:
    content = {"pack.py": b"x = 1"}
    listed = record(content, f"{INFO}/RECORD").replace(",5\n", ",6\n")
    with pytest.raises(BadWheel, match="is not as long as its RECORD says"):
        read(wheel("pack", files=content, RECORD=listed), NAME)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (b"", "not a zip archive"),
        (b"PK\5\6" + bytes(18), "exactly one .dist-info"),
        (wheel("pack")[:-30], "not a zip archive"),
        (wheel("other"), "it holds 'other-1.0.dist-info'"),
        (wheel("pack", "2.0"), "it holds 'pack-2.0.dist-info'"),
        (wheel("pack", files={"b-1.dist-info/METADATA": ""}), "exactly one .dist-info"),
        (wheel("pack", WHEEL="Wheel-Version: 2.0\n"), "its format is 2.0"),
        (wheel("pack", WHEEL=""), "its format is nothing"),
        (packed({f"{INFO}/RECORD": b""}), "no METADATA"),
    ],
)
def test_what_is_not_a_wheel_of_this_name_is_refused(made: bytes, said: str) -> None:
    with pytest.raises(BadWheel, match=said):
        read(made, NAME)


def test_damaged_content_is_refused() -> None:
    made = bytearray(wheel("pack", files={"x.py": bytes(range(256)) * 20}))
    at = made.index(b"x.py") + 30
    made[at] ^= 0xFF
    with pytest.raises(BadWheel):
        read(bytes(made), NAME)


def test_an_encrypted_or_oddly_packed_file_is_refused() -> None:
    made = bytearray(wheel("pack"))
    entry = made.index(b"PK\1\2")
    struct.pack_into("<H", made, entry + 8, 1)
    with pytest.raises(BadWheel, match="packed in a way"):
        read(bytes(made), NAME)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("pack.py", "x")
    with pytest.raises(BadWheel, match="packed in a way"):
        read(buffer.getvalue(), NAME)
