"""Tools by which a model uses the context of its agent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from facets.agents.blocks import Searchable, Skills, Writable
from facets.agents.calling import current
from facets.agents.errors import NoSuchBlock, NoSuchSkill
from facets.agents.skills import MAIN_FILE, loaded
from facets.agents.tool import Tool, tool_of
from facets.codemode.tokens import tokens

if TYPE_CHECKING:
    from facets.agents.agent import Agent

WHOLE = 4000
"""Tokens of the entries that a search gives whole."""
Name = Annotated[str, Field(description="as it is listed")]


def context_tools(agent: Agent) -> Iterator[Tool]:
    """Those that the blocks of an agent need."""
    has = Uses(agent)
    kinds = {type(block) for block in agent.context}
    if Writable in kinds:
        yield tool_of(has.set_context)
    if Searchable in kinds:
        yield tool_of(has.search_context)
    if any(isinstance(one, Searchable) and one.writable for one in agent.context):
        yield tool_of(has.add_context)
    if Skills in kinds:
        yield tool_of(has.load_skill)
        yield tool_of(has.unload_skill)


class Uses:
    """What the tools do."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def set_context(
        self, label: str, text: str, how: Literal["replace", "append"] = "replace"
    ) -> str:
        """Change what a writable block of your context says, for good: the text in its place, or
        as a line after what is there."""
        blocks = self._agent.blocks
        before = blocks.get(label)
        blocks.written(label, f"{before}\n{text}" if how == "append" and before else text)
        return f"{label} is set"

    async def search_context(self, label: str, words: str) -> list[dict[str, str]]:
        """Find entries of a searchable block of your context that have all these words: the best
        ones whole, of the others where the words are."""
        left, told = WHOLE, []
        for one in self._agent.blocks.search(label, words):
            left -= tokens(one.text)
            told.append({"title": one.title, "text": one.text if left >= 0 else one.found})
        return told

    async def add_context(self, label: str, title: str, text: str) -> str:
        """Put an entry into a searchable block of your context, in place of one of this title."""
        if not any(
            isinstance(one, Searchable) and one.writable and one.label == label
            for one in self._agent.context
        ):
            raise NoSuchBlock(f"there is no block {label!r} that you may add to", label=label)
        self._agent.blocks.add(label, title, text)
        return f"added to {label}"

    async def load_skill(self, name: Name, file: str = MAIN_FILE) -> str:
        """Read a skill, or a file that is listed beside it."""
        blocks = self._agent.blocks
        shelves = [blocks.skills(b.label) for b in self._agent.context if isinstance(b, Skills)]
        shelf = next((one for one in shelves if name in one), shelves[0])
        return shelf.load(name, file)

    async def unload_skill(self, name: Name) -> str:
        """Forget the text of a skill that you no longer need, to have room for other things."""
        run = current()
        turn = None if run is None else self._agent._turns.get(run.turn)
        if turn is not None:
            history = self._agent.session.history(turn.branch, until=turn.head)
            if name not in loaded(history):
                raise NoSuchSkill(f"no skill {name!r} is loaded", name=name)
        return f"{name} is unloaded"
