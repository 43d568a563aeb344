"""Open files, and the standard library on them."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable

import pytest

from storage.database import Database
from storage.errors import FileExists, FileMissing, IsDirectory, PathInvalid
from storage.files import File, Files


@pytest.mark.parametrize("mode", ["rb", "r+b", "wb", "w+b", "ab", "a+b", "xb", "x+b"])
@pytest.mark.parametrize("there", [True, False])
def test_each_mode_does_what_the_builtin_open_does(
    fs: Files, tmp_path_factory: pytest.TempPathFactory, mode: str, there: bool
) -> None:
    path = tmp_path_factory.mktemp("real") / "f"
    if there:
        path.write_bytes(b"0123456789")
        fs.write("/f", b"0123456789")

    def use(file: io.BufferedIOBase) -> list[object]:
        seen: list[object] = [file.readable(), file.writable(), file.seekable(), file.tell()]
        with file:
            if file.readable():
                seen += [file.read(3), file.tell()]
            if file.writable():
                seen += [file.write(b"abc"), file.tell(), file.seek(2), file.write(b"X")]
                seen += [file.truncate(20), file.seek(0, io.SEEK_END), file.write(b"end")]
            if file.readable():
                seen += [file.seek(-4, io.SEEK_CUR), file.read(2), file.seek(1), file.read()]
        return [*seen, file.closed]

    def outcome(open_it: Callable[[], io.BufferedIOBase]) -> object:
        try:
            return use(open_it())
        except OSError as error:
            return error.errno

    mine = outcome(lambda: fs.open("/f", mode))
    real = outcome(lambda: path.open(mode))  # type: ignore[arg-type, return-value]
    assert mine == real
    assert fs.exists("/f") == path.exists()
    if path.exists():
        assert fs.read("/f") == path.read_bytes()


@pytest.mark.parametrize("mode", ["", "b", "rw", "r++", "rbt", "z", "wa", "U"])
def test_other_modes_are_refused_before_anything_happens(fs: Files, mode: str) -> None:
    fs.write("/f", b"x")
    with pytest.raises(PathInvalid) as caught:
        fs.open("/f", mode)
    assert isinstance(caught.value, ValueError)
    assert fs.read("/f") == b"x"


def test_opening_what_cannot_be_opened_is_an_error_at_once(fs: Files) -> None:
    fs.mkdir("/d")
    fs.symlink("nowhere", "/l")
    for mode in ("r", "w", "a"):
        with pytest.raises(IsDirectory):
            fs.open("/d", mode)
    for path in ("/d", "/l"):
        with pytest.raises(FileExists):
            fs.open(path, "x")
    with pytest.raises(FileMissing):
        fs.open("/l")
    with pytest.raises(FileMissing):
        fs.open("/no/f", "w")
    with fs.open("/l", "w") as file:
        file.write("made")
    assert fs.read("/nowhere") == b"made"


def test_text_has_encodings_and_line_ends(fs: Files) -> None:
    with fs.open("/t", "w", newline="\r\n") as file:
        file.write("grün\n")
    assert fs.read("/t") == "grün\r\n".encode()
    with fs.open("/t") as file:
        assert file.read() == "grün\n"
    with fs.open("/t", "w", encoding="latin-1") as file:
        file.write("ü")
    with fs.open("/t", errors="replace") as file:
        assert file.read() == "\ufffd"
    with pytest.raises(ValueError, match="buffers"):
        fs.open("/t", "r", buffering=0)


def test_without_buffers_a_write_is_in_the_step_at_once(fs: Files) -> None:
    file = fs.open("/f", "wb", buffering=0)
    assert isinstance(file, File)
    assert (file.name, file.mode) == ("/f", "wb")
    file.write(b"now")
    assert fs.read("/f") == b"now"
    file.close()
    for use in (file.tell, lambda: file.write(b""), lambda: file.seek(0), file.truncate):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_what_a_file_was_not_opened_for_is_unsupported(fs: Files) -> None:
    with fs.open("/f", "wb", buffering=0) as file, pytest.raises(io.UnsupportedOperation):
        file.read()
    with fs.open("/f", "rb", buffering=0) as file:
        with pytest.raises(io.UnsupportedOperation):
            file.write(b"x")
        with pytest.raises(io.UnsupportedOperation):
            file.truncate(0)
        with pytest.raises(PathInvalid):
            file.seek(-1)
        with pytest.raises(PathInvalid):
            file.seek(0, 9)


def test_an_open_file_follows_a_rename_and_ends_with_its_file(fs: Files) -> None:
    fs.write("/f", b"0123456789")
    with fs.open("/f", "rb", buffering=0) as file:
        fs.rename("/f", "/g")
        fs.write("/f", b"another")
        assert file.read(2) == b"01"
        fs.unlink("/g")
        fs.write("/g", b"another")
        with pytest.raises(FileMissing):
            file.read(2)


def test_appending_goes_to_the_end_wherever_that_is_by_then(fs: Files) -> None:
    with fs.open("/f", "ab", buffering=0) as one, fs.open("/f", "ab", buffering=0) as two:
        one.write(b"1")
        two.write(b"2")
        one.seek(0)
        one.write(b"3")
    assert fs.read("/f") == b"123"


def test_a_file_may_stay_open_across_steps(fs: Files, database: Database) -> None:
    with fs.open("/f", "wb") as file:
        file.write(b"one")
        file.flush()
        database.commit()
        file.write(b"two")
    database.commit()
    assert fs.read("/f") == b"onetwo"


def test_csv_json_and_zipfile_work_on_open_files(fs: Files) -> None:
    table = [[str(i), f"name {i}", 'with "quotes", and\nlines'] for i in range(2_000)]
    with fs.open("/t.csv", "w", newline="") as file:
        csv.writer(file).writerows(table)
    with fs.open("/t.csv", newline="") as file:
        assert list(csv.reader(file)) == table
    with fs.open("/t.json", "w") as file:
        json.dump(table, file)
    with fs.open("/t.json") as file:
        assert json.load(file) == table
    with zipfile.ZipFile(fs.open("/t.zip", "w+b"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", fs.read("/t.csv"))
        archive.writestr("b.json", fs.read("/t.json"))
        archive.fp.flush()  # type: ignore[union-attr]
    with fs.open("/t.zip", "rb") as file, zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert archive.read("b.json") == fs.read("/t.json")
    with fs.open("/t.zip", "r+b") as file, zipfile.ZipFile(file, "a") as archive:
        archive.writestr("c.txt", "more")
    with fs.open("/t.zip", "rb") as file, zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["a.csv", "b.json", "c.txt"]
