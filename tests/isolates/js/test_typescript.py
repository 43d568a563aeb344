"""Types go, lines stay, and what does not parse says where."""

from __future__ import annotations

from typing import Any

import pytest

from facets.isolates import Code, image
from facets.isolates.errors import LoadError
from facets.isolates.js import typescript
from facets.isolates.js.lines import aligned
from facets.isolates.js.typescript import stripped

SOURCE = """import { Actor } from "facets";
import type { Nothing } from "./nothing.js";

/** What a point is. */
interface Point {
  x: number;
  y?: number;
}

enum Color { Red = "red", Blue = "blue" }
type Pair<A, B = A> = readonly [A, B];

abstract class Base<T extends object> {
  protected constructor(public readonly kept: T) {}
  abstract area(): number;
}

namespace Deep { export const value: number = 1; }

export class Tool extends Actor {
  declare props: Point;
  private n!: number;

  async add(this: Tool, a: number, b: number = 1): Promise<number> {
    const p = { x: a, y: b } satisfies Point;
    const text = `
      ${p.x as unknown as string}
    `;
    return (<number>p.x) + p.y! + text.length * 0;
  }

  async kinds(): Promise<unknown[]> {
    const pair: Pair<number> = [1, 2];
    return [Color.Red, Deep.value, pair, ((x?: number): x is number => x != null)(1)];
  }

  async bad(): Promise<never> {
    throw new Error(`bad ${Color.Red}`);
  }
}
"""


def line_of(text: str) -> int:
    return next(at for at, line in enumerate(SOURCE.split("\n"), 1) if text in line)


async def test_types_are_taken_away_and_the_rest_works(guest_js: Any) -> None:
    guest_js.language = "typescript"
    session = await guest_js.open(SOURCE)

    assert await session.call("add", (1, 2)) == 3
    assert await session.call("kinds") == ["red", 1, [1, 2], True]


async def test_an_error_names_the_line_of_the_source(guest_js: Any) -> None:
    guest_js.language = "typescript"
    session = await guest_js.open(SOURCE)

    with pytest.raises(Exception, match="bad red") as caught:
        await session.call("bad")
    assert f"main.ts:{line_of('throw new')}:" in caught.value.traceback  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("wrong", "right", "line"),
    [
        ("const p = { x: a,, y: b }", "const p = { x: a, y: b }", "satisfies Point"),
        ("interface {", "interface Point {", "interface Point"),
        ("type Pair<A, = readonly", "type Pair<A, B = A> = readonly", "type Pair"),
        ("async bad(: Promise", "async bad(): Promise", "async bad"),
    ],
)
async def test_what_does_not_parse_says_where(
    guest_js: Any, wrong: str, right: str, line: str
) -> None:
    guest_js.language = "typescript"
    with pytest.raises(LoadError, match="SyntaxError") as caught:
        await guest_js.open(SOURCE.replace(right, wrong))
    assert f"main.ts:{line_of(line)}\n" in caught.value.traceback


async def test_each_module_is_stripped_and_the_others_are_left(guest: image.Image) -> None:
    code = Code.of(
        {"main.ts": "export const a: number = 1", "b.js": "export const b = 1;;", "c.mts": ""}
    )

    made = await stripped(code)

    assert code.language == "typescript"
    assert made.modules["main.ts"] == "export const a = 1;\n"
    assert made.modules["b.js"] == "export const b = 1;;"
    assert made.modules["c.mts"] == ""


async def test_the_same_source_is_stripped_once(monkeypatch: pytest.MonkeyPatch) -> None:
    code = Code.of("export const once: number = 1", language="typescript")
    first = await stripped(code)
    monkeypatch.setattr(typescript, "_strip", None)

    assert await stripped(code) is first


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typescript, "MOST", 100)
    monkeypatch.setattr(typescript, "_kept", type(typescript._kept)())
    for n in range(10):
        await stripped(Code.of(f"export const a: number = {n}", language="typescript"))

    assert 0 < len(typescript._kept) <= 5


@pytest.mark.parametrize(
    "source",
    [
        "(" * 100_000,
        "type A = " + "[" * 50_000,
        "class A<" * 20_000,
        "`${" * 20_000,
        "/*",
        "\ud800",
    ],
    ids=range(6),
)
async def test_a_source_that_is_too_much_for_the_stripper_does_not_load(source: str) -> None:
    with pytest.raises(LoadError):
        await stripped(Code.of(source, language="typescript"))
    assert await stripped(Code.of("let a: number", language="typescript"))


def test_lines_are_moved_apart_and_together() -> None:
    source = "a();\n\n\nb();\nc(); d();\ne();"

    assert aligned("a();\nb();\nc();\nd();\ne();", source) == "a();\n\n\nb();\nc(); d();\ne();"


def test_lines_of_a_template_stay_together() -> None:
    source = "\n\nf(`\nx\n\ny\n`);\nz();"

    assert aligned("f(`\nx\n\ny\n`);\nz();", source) == source


def test_a_comment_is_not_drawn_over_code() -> None:
    source = "a(); b();\nc();"

    assert aligned("a(); // first\nb();\nc();", source) == "a(); // first\nb(); c();"
