"""The block at the top of a script."""

from __future__ import annotations

import pytest

from facets.errors import BadLock, BadRequirement
from facets.isolates import Code
from facets.packages import Lock, Pin, script
from facets.packages.script import Block
from facets.packages.wanted import Wanted

SOURCE = '''"""A tool."""
# /// script
# requires-python = ">=3.12"
# dependencies = [
#   "humanize",  # for people
#   "jinja2>=3",
# ]
#
# [tool.other]
# x = 1
# ///
import humanize
'''


def test_the_block_says_what_is_needed() -> None:
    assert script.read(SOURCE) == Block(("humanize", "jinja2>=3"), ">=3.12")
    assert script.read("x = 1") == Block()
    assert script.read("# /// script\n# ///\n") == Block()


@pytest.mark.parametrize(
    "source",
    [
        "# /// script\n# dependencies = ['x']\nx = 1\n",  # no end
        "# /// script\n# dependencies = ['x']\n\n# ///\n",  # a line that is no comment
        "#/// script\n# dependencies = ['x']\n# ///\n",
        "text = '''\n    # /// script\n    # dependencies = ['x']\n    # ///\n'''\n",
        "# /// other\n# dependencies = ['x']\n# ///\n",
    ],
)
def test_what_only_looks_like_a_block_is_a_comment(source: str) -> None:
    assert script.read(source) == Block()


def test_an_end_inside_the_block_is_content() -> None:
    source = "# /// script\n# x = '''\n# ///\n# '''\n# dependencies = ['a']\n# ///\n# more\n"
    assert script.read(source).dependencies == ("a",)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("# /// script\n# dependencies = [\n# ///\n", "not TOML"),
        ("# /// script\n# dependencies = 'x'\n# ///\n", "not a list of texts"),
        ("# /// script\n# dependencies = [1]\n# ///\n", "not a list of texts"),
        ("# /// script\n# requires-python = 3\n# ///\n", "not a text"),
        ("# /// script\n# ///\n\n# /// script\n# ///\n", "more than one block"),
    ],
)
def test_a_malformed_block_is_refused(source: str, said: str) -> None:
    with pytest.raises(BadRequirement, match=said):
        script.read(source)


def block(text: str) -> Code:
    return Code.of(f"# /// script\n# {text}\n# ///\n")


def test_a_block_for_another_python_is_refused() -> None:
    assert not Wanted((), block('requires-python = ">=3.12"'))
    with pytest.raises(BadRequirement, match=r"wants Python <3\.12"):
        Wanted((), block('requires-python = "<3.12"'))
    with pytest.raises(BadRequirement, match="requires-python"):
        Wanted((), block('requires-python = "later"'))


def test_what_the_block_asks_for_is_added() -> None:
    both = Wanted(["b>1"], block('dependencies = ["A"]'))
    assert both.given == ("a", "b>1")
    assert both.identity == Wanted(["A", "b>1"], Code.of("")).identity


def test_a_lock_must_have_what_the_block_asks_for() -> None:
    lock = Lock((Pin("a-b", "1.5", "https://x/y.whl", "a" * 64, "a_b-1.5-py3-none-any.whl"),))

    assert Wanted(lock, block('dependencies = ["A_b>=1"]')).identity == lock.hash
    with pytest.raises(BadLock, match=r"the source needs a-b>=2, and the lock has 1\.5"):
        Wanted(lock, block('dependencies = ["a-b>=2"]'))
    with pytest.raises(BadLock, match="no such package"):
        Wanted(Lock(), block('dependencies = ["c"]'))


def test_a_block_is_of_python_and_raw_webassembly_has_no_packages() -> None:
    code = Code({"main": "# /// script\n# dependencies = ['x']\n# ///"}, "main", "javascript")
    assert not Wanted((), code)
    with pytest.raises(BadRequirement, match="this source is wasm"):
        Wanted(["x"], Code({}, "main.wasm", "wasm"))
    with pytest.raises(TypeError, match="list of texts"):
        Wanted("humanize", Code.of(""))
