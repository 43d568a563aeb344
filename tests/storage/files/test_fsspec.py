"""As an fsspec file system: fsspec's own suite, and what it does not ask."""

from __future__ import annotations

import subprocess
import sys

import pytest

from storage.database import Database
from storage.errors import FileExists, FileMissing, IsDirectory, PathInvalid, StorageError
from storage.files import Files
from tests.storage.files.conftest import undo

fsspec = pytest.importorskip("fsspec")
abstract = pytest.importorskip("fsspec.tests.abstract")

from storage.files.spec import FacetsFileSystem  # noqa: E402 - needs fsspec


class Fixtures(abstract.AbstractFixtures):  # type: ignore[misc]
    @pytest.fixture
    def fs(self, fs: Files) -> FacetsFileSystem:
        return fs.fsspec()

    @pytest.fixture
    def fs_path(self, fs: FacetsFileSystem) -> str:
        fs.mkdir("/base")
        return "/base"


class TestCopy(abstract.AbstractCopyTests, Fixtures):  # type: ignore[misc]
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):  # type: ignore[misc]
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):  # type: ignore[misc]
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):  # type: ignore[misc]
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):  # type: ignore[misc]
    pass


@pytest.fixture
def spec(fs: Files) -> FacetsFileSystem:
    return fs.fsspec()


def test_fsspec_is_imported_only_when_it_is_asked_for() -> None:
    code = "import sys, storage.files, storage.files.resolver; print('fsspec' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_it_works_on_the_same_files(fs: Files, spec: FacetsFileSystem) -> None:
    fs.mkdir("/d")
    with spec.open("/d/f", "w") as file:
        file.write("grün")
    assert fs.read_text("/d/f") == "grün"
    assert spec.cat("d/f") == "grün".encode()
    assert spec.info("/d/f")["size"] == 5
    assert spec.ls("/d", detail=False) == ["/d/f"]
    assert spec.find("/") == ["/d/f"]
    assert spec.modified("/d/f").timestamp() == fs.stat("/d/f").mtime
    spec.mv("/d/f", "/d/g")
    spec.cp_file("/d/g", "/h")
    assert fs.glob("**") == ["/d", "/d/g", "/h"]
    spec.rm("/d", recursive=True)
    assert fs.listdir() == ["h"]


def test_what_is_written_belongs_to_the_step(
    fs: Files, spec: FacetsFileSystem, database: Database
) -> None:
    spec.pipe("/f", b"kept")
    database.commit()
    spec.pipe("/f", b"lost")
    spec.makedirs("/d/e")
    undo(database, fs)
    assert (spec.cat("/f"), spec.ls("/", detail=False)) == (b"kept", ["/f"])


def test_a_file_appears_whole_when_it_is_closed_and_never_if_it_is_not(
    fs: Files, spec: FacetsFileSystem
) -> None:
    fs.write("/f", b"old")
    file = spec.open("/f", "wb")
    file.write(b"new")
    assert fs.read("/f") == b"old"
    file.close()
    file.close()
    assert fs.read("/f") == b"new"
    file = spec.open("/f", "wb")
    file.write(b"abandoned")
    del file
    assert fs.read("/f") == b"new"
    with spec.open("/f", "ab") as file:
        file.write(b"er")
    assert fs.read("/f") == b"newer"


def test_a_transaction_of_fsspec_writes_all_or_nothing(fs: Files, spec: FacetsFileSystem) -> None:
    with spec.transaction:
        spec.pipe("/a", b"1")
        spec.pipe("/b", b"2")
        assert fs.listdir() == []
    assert fs.listdir() == ["a", "b"]

    def fail() -> None:
        with spec.transaction:
            spec.pipe("/c", b"3")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert fs.listdir() == ["a", "b"]


def test_opening_what_cannot_be_written_is_an_error_at_once(
    fs: Files, spec: FacetsFileSystem
) -> None:
    fs.mkdir("/d")
    fs.write("/f", b"")
    for path, mode, error in (
        ("/d", "wb", IsDirectory),
        ("/f", "xb", FileExists),
        ("/f", "r+b", PathInvalid),
        ("/no", "rb", FileMissing),
    ):
        with pytest.raises(error):
            spec.open(path, mode)
    with pytest.raises(FileExistsError):
        spec.pipe_file("/f", b"x", mode="create")


def test_directories_above_a_file_that_is_written_are_made(
    fs: Files, spec: FacetsFileSystem
) -> None:
    spec.pipe("/a/b/f", b"x")
    spec.touch("/c/d/f")
    spec.cp_file("/a/b/f", "/e/f")
    assert fs.glob("**/f") == ["/a/b/f", "/c/d/f", "/e/f"]
    with pytest.raises(FileExists):
        spec.pipe("/e/f/g", b"x")


def test_ranges_may_count_from_the_end(fs: Files, spec: FacetsFileSystem) -> None:
    fs.write("/f", b"0123456789")
    assert spec.cat_file("/f", 2, 4) == b"23"
    assert spec.cat_file("/f", -3) == b"789"
    assert spec.cat_file("/f", 0, -8) == b"01"
    assert spec.cat_file("/f", 5, 2) == b""
    assert spec.tail("/f", 2) == b"89"
    assert spec.cat_ranges(["/f", "/f"], [0, 8], [1, 10]) == [b"0", b"89"]


def test_touch_makes_empties_or_dates(fs: Files, spec: FacetsFileSystem) -> None:
    spec.touch("/f")
    assert fs.read("/f") == b""
    fs.write("/f", b"x")
    before = fs.stat("/f").mtime_ns
    spec.touch("/f", truncate=False)
    assert fs.read("/f") == b"x"
    assert fs.stat("/f").mtime_ns > before
    spec.touch("/f")
    assert fs.read("/f") == b""


def test_walking_ends_although_links_lead_round(fs: Files, spec: FacetsFileSystem) -> None:
    fs.mkdir("/d")
    fs.write("/d/f", b"12")
    fs.symlink("/d", "/d/round")
    fs.symlink("f", "/d/to")
    fs.symlink("nowhere", "/d/dead")
    assert {one["name"]: (one["type"], one["size"]) for one in spec.ls("/d")} == {
        "/d/dead": ("link", 7),
        "/d/f": ("file", 2),
        "/d/round": ("link", 2),
        "/d/to": ("file", 2),
    }
    assert len(spec.find("/")) == 4


# -- addresses ---------------------------------------------------------------------------


def test_an_address_leads_to_the_files_of_an_actor(
    resolved: dict[tuple[str, str], Files],
) -> None:
    with fsspec.open("facets://Lead/alice/report.csv", "w") as file:
        file.write("a,b\n")
    assert resolved["Lead", "alice"].read("/report.csv") == b"a,b\n"
    with fsspec.open("facets://Lead/alice/report.csv") as file:
        assert file.read() == b"a,b\n"
    spec, path = fsspec.core.url_to_fs("facets://Lead/bob")
    assert (path, spec.ls(path)) == ("/", [])
    assert not fsspec.filesystem("facets", kind="Lead", name="bob").exists("/report.csv")


def test_kinds_and_names_of_any_text_go_through_an_address(
    resolved: dict[tuple[str, str], Files],
) -> None:
    spec = FacetsFileSystem("Le/ad", "alice & bob/ü")
    url = spec.unstrip_protocol("/a b")
    assert url == "facets://Le%2Fad/alice%20%26%20bob%2F%C3%BC/a b"
    fsspec.core.url_to_fs(url)[0].pipe(url, b"x")
    assert resolved["Le/ad", "alice & bob/ü"].read("/a b") == b"x"


def test_an_address_that_names_nobody_is_refused(fs: Files) -> None:
    for url in ("facets://Lead", "facets://Lead/", "facets://Lead//x"):
        with pytest.raises(PathInvalid):
            FacetsFileSystem._get_kwargs_from_urls(url)
    with pytest.raises(StorageError, match="no runtime"):
        FacetsFileSystem("Lead", "alice").ls("/")
    assert fs.fsspec().unstrip_protocol("/x") == "facets:///x"
    assert fs.fsspec()._strip_protocol("facets:///x") == "/x"


def test_two_file_systems_are_equal_when_they_mean_the_same_files(fs: Files) -> None:
    assert fs.fsspec().fsid == fs.fsspec().fsid
    assert FacetsFileSystem("a", "b").fsid != FacetsFileSystem("a", "c").fsid
