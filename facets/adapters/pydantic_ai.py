"""pydantic-ai: methods of actors as a toolset, and files of an actor as a workspace."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Any

from pydantic_ai.exceptions import ModelRetry, ToolFailed
from pydantic_ai.tools import RunContext, ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool
from pydantic_ai.workspaces import FileEntry, WorkspaceRef
from pydantic_core import SchemaValidator, core_schema

from actors.actor import Actor
from facets.adapters import files
from facets.adapters.files import FilesOf, Found
from facets.adapters.tools import FATAL, invoke, tools_of
from facets.agents.errors import BadToolArguments
from facets.agents.tool import Tool
from facets.serve.errors import BadArguments
from facets.serve.methods import told
from storage.files.files import Files

_OBJECT = SchemaValidator(core_schema.dict_schema(core_schema.str_schema()))


class FacetToolset(AbstractToolset[Any]):
    """The methods of an actor, a facet or a facets `Agent` as tools of a pydantic-ai agent.

        agent = pydantic_ai.Agent("openai:gpt-5", toolsets=[FacetToolset(runtime.get(Tally, "a"))])

    Or `Tool`s: `FacetToolset(mode.tools())`. `tools_of` says what `interface`, `only` and `seconds`
    are, and what becomes a tool. `prefixed`, `filtered`,
    `approval_required` and the like work as for every toolset. A reply is durable before the model
    reads it; cancelling the run cancels the methods that it waits for, and their open steps are
    undone.

    Arguments that do not fit are a retry of the model's; what a method raises is a failed result,
    with the error's hint. `RuntimeClosed` and `JournalFailed` end the run. The run may be on any
    event loop, `run_sync` too where the stub is of `runtime.blocking()`.
    """

    def __init__(
        self,
        actor: Any,
        *,
        interface: type[Actor] | None = None,
        only: Sequence[str] | None = None,
        seconds: float | None = None,
        id: str | None = None,
    ) -> None:
        if not isinstance(actor, Sequence):
            actor = tools_of(actor, interface=interface, only=only, seconds=seconds)
        self._tools: dict[str, Tool] = {one.name: one for one in actor}
        self._id = id

    @property
    def id(self) -> str | None:
        """What it was given."""
        return self._id

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        """All of them."""
        return {
            name: ToolsetTool(
                toolset=self,
                tool_def=ToolDefinition(
                    name=name,
                    parameters_json_schema=dict(one.schema),
                    description=one.description or None,
                ),
                max_retries=ctx.max_retries,
                args_validator=_OBJECT,
            )
            for name, one in self._tools.items()
        }

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """What the method gave, as plain data."""
        try:
            return await invoke(self._tools[name], tool_args)
        except (BadArguments, BadToolArguments) as error:
            raise ModelRetry(told(error)) from error
        except FATAL:
            raise
        except Exception as error:
            raise ToolFailed(told(error)) from error


class FacetWorkspace:
    """The files of an actor as a workspace of pydantic-ai: a `WorkspaceBackend`.

        workspace = FacetWorkspace(runtime, Lead, "alice")
        await agent.run("Write it down.", workspace=workspace)

    Or `FacetWorkspace(self.fs)` inside an actor. Each operation is a step of that actor, on disk
    when it returns; errors are those of Python for files. The working directory is `/`. Paths and
    links stay in the actor's files, whatever they say. It has no commands. An actor that was
    deleted is found empty, and not missing.
    """

    def __init__(self, of: Any, cls: type[Actor] | None = None, name: str = "") -> None:
        self._files = FilesOf(of, cls, name)
        self._ref = WorkspaceRef(provider="facets", id=f"{self._files.kind}/{name}")

    @property
    def ref(self) -> WorkspaceRef:
        """Kind and name of the actor."""
        return self._ref

    async def working_dir(self) -> str:
        """The root."""
        return "/"

    async def read_bytes(self, path: str) -> bytes:
        """All of a file."""
        return (await self._files.do(files.read, path))[0]

    async def write_bytes(self, path: str, data: bytes) -> None:
        """Make a file, or replace what is in it, with the directories above it."""
        await self._files.do(files.write, path, data)

    async def stat(self, path: str) -> FileEntry:
        """What is there."""
        return _file_entry(await self._files.do(files.look, path))

    async def list_dir(self, path: str) -> list[FileEntry]:
        """What is in a directory, by name."""
        return [_file_entry(one) for one in await self._files.do(files.entries, path)]

    async def make_dir(self, path: str) -> None:
        """Make a directory, and those above it, unless it is there."""
        await self._files.do(files.make_dir, path)

    async def remove(self, path: str) -> None:
        """Remove a file or a link, or a directory with all below it; ValueError for the root."""
        if posixpath.normpath(path) in ("/", "//"):
            raise ValueError("the working directory stays")
        await self._files.do(files.remove, path)

    async def exists(self, path: str) -> bool:
        """Whether something is there."""
        return await self._files.do(Files.exists, path)

    async def realpath(self, path: str) -> str:
        """Without links, as far as it exists."""
        return await self._files.do(files.real, path)


def _file_entry(one: Found) -> FileEntry:
    name = posixpath.basename(one.path)
    return FileEntry(name=name, path=one.path, is_dir=one.is_dir, size=one.size)
