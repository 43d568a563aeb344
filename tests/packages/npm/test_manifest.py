"""What names in a package mean, as Node and bundlers read its package.json."""

from __future__ import annotations

from typing import Any

import pytest

from facets.packages.npm.manifest import Manifest, is_module, requires

FILES = {"index.js": b"", "a.js": b"", "b.mjs": b"", "lib/index.js": b"", "lib/x.js": b"",
         "data.json": b"", "only.cjs": b""}  # fmt: skip


def exported(said: dict[str, Any], path: str = ".") -> str | None:
    return Manifest("pack", said, FILES).exported(path)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, "index.js"),
        ({"main": "a"}, "a.js"),
        ({"main": "./lib"}, "lib/index.js"),
        ({"main": "a.js", "module": "b.mjs"}, "b.mjs"),
        ({"main": "gone.js"}, "index.js"),
        ({"exports": "./a.js", "module": "b.mjs"}, "a.js"),
        ({"exports": {"import": "./b.mjs", "default": "./a.js"}}, "b.mjs"),
        ({"exports": {"default": "./a.js", "import": "./b.mjs"}}, "a.js"),
        ({"exports": {"node": "./a.js", "browser": "./b.mjs"}}, "b.mjs"),
        ({"exports": {"types": "./x.d.ts", "require": "./a.js"}}, None),
        ({"exports": {".": {"node": {"import": "./a.js"}, "import": {"default": "./b.mjs"}}}},
         "b.mjs"),
        ({"exports": {".": ["../out.js", {"require": "./x"}, "./a.js"]}}, None),
        ({"exports": {".": [{"require": "./x"}, "./a.js"]}}, "a.js"),
        ({"exports": {"./a": "./a.js"}}, None),
        ({"exports": "./../../out.js"}, None),
        ({"exports": "/etc/passwd"}, None),
        ({"exports": {".": None}}, None),
        ({"exports": 3, "module": 4, "main": 5}, None),
    ],
)  # fmt: skip
def test_the_main_module_is_what_exports_say_else_module_else_main(
    said: dict[str, Any], found: str | None
) -> None:
    assert exported(said) == found


@pytest.mark.parametrize(
    ("path", "found"),
    [("./x", "lib/x.js"), ("./deep/x", None), ("./in/x.js", "lib/x.js"), ("./in/private", None),
     ("./data.json", "data.json"), ("./a.js", None), ("./in/../../a", None)],
)  # fmt: skip
def test_the_longest_pattern_that_fits_says_where_a_path_is(path: str, found: str | None) -> None:
    exports = {"./*": "./lib/*", "./deep/*": None, "./in/*.js": "./lib/*.js", "./in/*": None,
               "./data.json": "./data.json", "./a.js": None}  # fmt: skip
    assert exported({"exports": exports}, path) == found


def test_without_exports_every_file_can_be_imported_and_none_outside() -> None:
    assert exported({}, "./lib/x") == exported({}, "./lib/./x.js") == "lib/x.js"
    assert exported({}, "./../x.js") is None


def test_conditions_that_never_end_are_none() -> None:
    said: Any = "./a.js"
    for _ in range(100):
        said = {"import": said}
    assert exported({"exports": said}) is None


def test_internal_names_lead_to_files_and_to_other_packages() -> None:
    one = Manifest("p", {"imports": {"#a": "./a.js", "#b": {"default": "other"}}}, FILES)
    assert [one.internal(name) for name in ("#a", "#b", "#c")] == ["a.js", "other", None]


@pytest.mark.parametrize(
    ("path", "text", "types", "found"),
    [
        ("a.mjs", "", "commonjs", True),
        ("a.cjs", "export {}", "module", False),
        ("a.js", "", "module", True),
        ("a.js", "module.exports = 1", "", False),
        ("a.js", "const a=1;export{a as default};", "", True),
        ("a.js", "import*as a from'./b';", "commonjs", True),
        ("a.js", "import a,{b}from'./b';", "", True),
        ("a.js", "import'./b'", "", True),
        ("a.js", "/*! x */export{a}", "", True),
        ("a.js", "exports.a = 1; import('./b')", "", False),
        ("a.js", "const exportable = {}; exported.default = 1", "", False),
    ],
)
def test_a_file_is_an_es_module_by_ending_type_or_content(
    path: str, text: str, types: str, found: bool
) -> None:
    assert is_module(path, text, types) is found


def test_a_file_that_requires_another_is_known_for_it() -> None:
    assert requires("var a = require('fs')")
    assert requires("require ('fs')")
    assert not requires("var required = 1; acquire('x'); a.require('x'); _require('x')")
