"""What docs/serve.md shows works, and its table says what the code does."""

from __future__ import annotations

import asyncio
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from facets.serve import ServeLimits
from tests.facets.serve.conftest import serving

PAGE = (Path(__file__).parents[3] / "docs" / "serve.md").read_text()


async def run(line: str) -> str:
    ran = await asyncio.create_subprocess_shell(
        line.replace("curl", "curl -sS -m 20"), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await ran.communicate()
    assert ran.returncode == 0
    return said.decode()


async def test_the_program_answers_every_curl_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = re.findall(r"```python\n(# main.py.*?)```", PAGE, re.DOTALL)[0]
    names: dict[str, Any] = {"__name__": "main"}
    exec(program, names)
    lines = re.findall(r"^    (curl .*)$", PAGE, re.MULTILINE)
    async with serving(names["app"]) as url:
        said = [await run(line.replace("localhost:8000", url)) for line in lines]

    octopus, squid = '{"word":"octopus","n":5}', '{"word":"squid","n":1}'
    end = "id: end\nevent: end\ndata: \n\n"
    assert said == [
        "1",
        "5",
        f"id: 1\ndata: {octopus}\n\n{end}",
        "1",
        f'{{"item":{octopus}}}\n{{"item":{squid}}}\n{{"end":true}}\n',
    ]


def test_every_limit_has_a_row() -> None:
    assert {one.name for one in fields(ServeLimits) if f"| `{one.name}` |" not in PAGE} == set()
