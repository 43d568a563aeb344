"""A model writes its own tools: through these three, and in the turn it is in."""

from __future__ import annotations

from typing import Any

from facets import LocalRuntime
from facets.extensions import Extensions, model_tools, no_wider
from tests.facets.extensions.test_life import COUNTER, MANIFEST, Lead, approve, run, upgraded


def by_name(extensions: Extensions) -> dict[str, Any]:
    """What a turn looks at before each of its steps."""
    return {tool.name: tool.call for tool in [*model_tools(extensions), *extensions.tools()]}


async def test_what_it_proposes_is_its_tool_in_the_next_step_of_the_same_turn(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        ours = lead.extensions
        step = by_name(ours)
        assert set(step) == {"propose_extension", "list_extensions", "rollback_extension"}
        said = await step["propose_extension"](manifest=MANIFEST, source=COUNTER)
        assert (said["state"], said["tools"]) == ("active", ["counter__count"])
        step = by_name(ours)
        assert await step["counter__count"](word="x") == 1
        await step["propose_extension"](manifest=upgraded("2"), source=COUNTER + "\n")
        step = by_name(ours)
        assert await step["counter__count"](word="x") == 2
        assert (await step["rollback_extension"](name="counter"))["version"] == "1"
        assert await by_name(ours)["counter__count"](word="x") == 2
        (listed,) = await step["list_extensions"]()
        assert listed["permissions"]["storage"] == 1 << 20

    await run(runtime, story, consent=approve)


async def test_what_is_wrong_is_an_answer_to_mend_not_an_error(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        step = by_name(lead.extensions)
        propose, rollback = step["propose_extension"], step["rollback_extension"]
        broken = await propose(manifest=MANIFEST, source="def (")
        assert (broken["state"], broken["problems"][0][:11]) == ("refused", "SyntaxError")
        odd = await propose(manifest={"name": "x"}, source=COUNTER)
        assert (odd["state"], "version" in odd["problems"][0]) == ("refused", True)
        assert (await rollback(name="nothing"))["state"] == "unchanged"

    await run(runtime, story, consent=approve)


async def test_no_tool_of_a_model_gives_consent(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        step = by_name(lead.extensions)
        said = await step["propose_extension"](manifest=MANIFEST, source=COUNTER)
        assert (said["state"], said["changes"][0][:9]) == ("pending", "+ storage")
        again = await step["propose_extension"](manifest=MANIFEST, source=COUNTER)
        assert again["state"] == "pending"
        assert "counter__count" not in by_name(lead.extensions)

    await run(runtime, story, consent=no_wider)
