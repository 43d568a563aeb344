"""Walk, glob, grep and diff."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from storage.errors import FileMissing, FileTooLarge, IsDirectory
from storage.files import Files, Match


@pytest.fixture
def tree(fs: Files) -> Files:
    for path in ("/a/b/c", "/a/empty", "/x"):
        fs.mkdir(path, parents=True)
    fs.write_text("/top.py", "import os\nprint('top')\n")
    fs.write_text("/a/one.py", "import re\n")
    fs.write_text("/a/two.txt", "nothing here\nbut IMPORT\n")
    fs.write_text("/a/b/c/deep.py", "x = 1\r\nimport deep\r\n")
    fs.write_text("/x/[1].py", "")
    fs.write("/a/binary.py", b"import\0")
    fs.symlink("/a", "/x/link")
    fs.symlink("nowhere", "/x/dead")
    return fs


def test_walk_goes_down_from_the_top_in_order_and_not_through_links(tree: Files) -> None:
    assert list(tree.walk()) == [
        ("/", ["a", "x"], ["top.py"]),
        ("/a", ["b", "empty"], ["binary.py", "one.py", "two.txt"]),
        ("/a/b", ["c"], []),
        ("/a/b/c", [], ["deep.py"]),
        ("/a/empty", [], []),
        ("/x", [], ["[1].py", "dead", "link"]),
    ]
    assert next(iter(tree.walk("/x/link")))[:2] == ("/x/link", ["b", "empty"])


def test_walk_leaves_out_what_is_taken_from_its_list(tree: Files) -> None:
    seen = []
    for path, directories, _ in tree.walk():
        seen.append(path)
        if path == "/a":
            directories.remove("b")
    assert seen == ["/", "/a", "/a/empty", "/x"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.py", ["/top.py"]),
        ("/a/*.py", ["/a/binary.py", "/a/one.py"]),
        ("**/*.py", ["/a/b/c/deep.py", "/a/binary.py", "/a/one.py", "/top.py", "/x/[1].py"]),
        ("/a/**/*.py", ["/a/b/c/deep.py", "/a/binary.py", "/a/one.py"]),
        ("**/**/deep.py", ["/a/b/c/deep.py"]),
        ("**/c/**", ["/a/b/c/deep.py"]),
        ("a/b/**", ["/a/b/c", "/a/b/c/deep.py"]),
        ("x/**", ["/x/[1].py", "/x/dead", "/x/link"]),
        ("?/one.py", ["/a/one.py"]),
        ("/[ax]", ["/a", "/x"]),
        ("/[!a]", ["/x"]),
        ("/x/[[]1].py", ["/x/[1].py"]),
        ("/x/link/*.txt", ["/x/link/two.txt"]),
        ("/x/l*/one.py", ["/x/link/one.py"]),
        ("/x/dead", ["/x/dead"]),
        ("/x/dead/*", []),
        ("/a/one.py", ["/a/one.py"]),
        ("/top.py/*", []),
        ("/no/**", []),
        ("*.PY", []),
        ("/", ["/"]),
        ("/a/../top.*", ["/top.py"]),
    ],
)  # fmt: skip
def test_glob_finds(tree: Files, pattern: str, found: list[str]) -> None:
    assert tree.glob(pattern) == found


def test_grep_gives_lines_with_their_numbers_from_text_files_only(tree: Files) -> None:
    assert tree.grep("import") == [
        Match("/a/b/c/deep.py", 2, "import deep"),
        Match("/a/one.py", 1, "import re"),
        Match("/top.py", 1, "import os"),
    ]
    assert tree.grep("^import (os|re)$", "/a/**") == [Match("/a/one.py", 1, "import re")]
    assert [one.path for one in tree.grep(re.compile("import", re.IGNORECASE), "/a/*")] == [
        "/a/one.py",
        "/a/two.txt",
    ]
    assert tree.grep("absent") == []
    assert len(tree.grep("import", limit=2)) == 2
    assert tree.grep("import", limit=0) == []
    with pytest.raises(re.error):
        tree.grep("(")


def test_grep_reads_what_is_not_utf8_with_replacement(fs: Files) -> None:
    fs.write("/f", b"gr\xfcn\n")
    assert fs.grep("gr.n") == [Match("/f", 1, "gr\ufffdn")]


def test_diff_is_unified_and_empty_for_equal_files(fs: Files) -> None:
    fs.write_text("/a", "one\ntwo\nthree\n")
    fs.write_text("/b", "one\n2\nthree\n")
    assert fs.diff("/a", "/b") == "--- /a\n+++ /b\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"
    assert fs.diff("/a", "b", context=0) == "--- /a\n+++ /b\n@@ -2 +2 @@\n-two\n+2\n"
    assert fs.diff("/a", "/a") == ""
    assert fs.diff_text("/a", fs.read_text("/b")) == fs.diff("/a", "/b").replace("/b", "/a")
    assert fs.diff_text("/a", "one\ntwo\nthree\n") == ""
    with pytest.raises(FileMissing):
        fs.diff("/a", "/no")
    fs.mkdir("/d")
    with pytest.raises(IsDirectory):
        fs.diff("/a", "/d")


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs the patch command")
@pytest.mark.parametrize("old", ["", "a\nb\n", "a\nb"])
@pytest.mark.parametrize("new", ["", "a\nb\n", "a\nc", "x\na\nb"])
def test_a_diff_is_what_patch_takes(fs: Files, tmp_path: Path, old: str, new: str) -> None:
    fs.write_text("/f", old)
    real = tmp_path / "f"
    real.write_text(old)
    if old != new:
        subprocess.run(
            ["patch", "-s", str(real)], input=fs.diff_text("/f", new), text=True, check=True
        )
    assert (real.read_text() if real.exists() else "") == new


def test_a_diff_of_too_many_lines_is_refused(fs: Files) -> None:
    fs.write_text("/f", "\n" * 10_001)
    with pytest.raises(FileTooLarge):
        fs.diff_text("/f", "")
