"""deepagents: the files of an actor as a backend, and agents of facets as sub-agents."""

from __future__ import annotations

import errno
import posixpath
from base64 import b64encode
from datetime import UTC, datetime
from functools import partial
from typing import Any

from deepagents import CompiledSubAgent
from deepagents.backends.protocol import (
    BackendProtocol,
    DeleteResult,
    EditResult,
    FileData,
    FileDownloadResponse,
    FileInfo,
    FileUploadResponse,
    GlobResult,
    GrepResult,
    LsResult,
    ReadResult,
    WriteResult,
)
from deepagents.backends.utils import (
    compile_grep_include_glob,
    create_file_data,
    perform_string_replacement,
    slice_read_response,
)
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda

from actors.actor import Actor
from facets.adapters import files
from facets.adapters.bridge import Bridge, plain
from facets.adapters.files import FilesOf, Found
from facets.adapters.tools import FATAL, class_of
from facets.serve.methods import told
from storage.errors import FileError


class FacetBackend(BackendProtocol):
    """The files of an actor as the file system of a deep agent.

        agent = create_deep_agent(model, backend=FacetBackend(runtime, Lead, "alice"))

    Or `FacetBackend(self.fs)` inside an actor. Each operation is one step of that actor, on disk
    when it returns: of two edits at the same time none is lost. The synchronous methods are for
    other threads than that of the event loop: use `runtime.blocking()` in plain code. What cannot
    be done is text for the model, as in every backend; `RuntimeClosed` and the like are raised.
    Paths and links stay in the actor's files, whatever they say.
    """

    def __init__(self, of: Any, cls: type[Actor] | None = None, name: str = "") -> None:
        self._files = FilesOf(of, cls, name)

    # -- asynchronous ---------------------------------------------------------------------------

    async def als(self, path: str) -> LsResult:
        """What is in a directory."""
        try:
            found = await self._files.do(files.entries, path)
        except FileError as error:
            return LsResult(error=told(error))
        return LsResult(entries=[_info(one) for one in found])

    async def aread(self, file_path: str, offset: int = 0, limit: int = 2000) -> ReadResult:
        """Lines of a text, or all of a binary file as base64."""
        try:
            data, mtime = await self._files.do(files.read, file_path)
        except FileError as error:
            return ReadResult(error=told(error))
        content = _data(data, mtime)
        if content["encoding"] == "base64":
            return ReadResult(file_data=content)
        return slice_read_response(content, offset, limit)

    async def awrite(self, file_path: str, content: str) -> WriteResult:
        """Make a file, or replace what is in it, with the directories above it."""
        try:
            await self._files.do(files.write, file_path, content.encode())
        except FileError as error:
            return WriteResult(error=told(error))
        return WriteResult(path=file_path)

    async def aedit(
        self,
        file_path: str,
        old_string: str,
        new_string: str,
        replace_all: bool = False,
    ) -> EditResult:
        """Replace a text that is there once, or everywhere."""

        def change(text: str) -> tuple[str | None, str | int]:
            found = perform_string_replacement(text, old_string, new_string, replace_all)
            return (None, found) if isinstance(found, str) else found

        try:
            found = await self._files.do(files.edit, file_path, change)
        except FileError as error:
            return EditResult(error=told(error))
        except UnicodeDecodeError:
            return EditResult(error=f"{file_path} is no text")
        if isinstance(found, str):
            return EditResult(error=found)
        return EditResult(path=file_path, occurrences=found)

    async def adelete(self, file_path: str) -> DeleteResult:
        """Remove a file, or a directory with all below it."""
        try:
            await self._files.do(files.remove, file_path)
        except FileError as error:
            return DeleteResult(error=told(error))
        return DeleteResult(path=file_path)

    async def agrep(
        self,
        pattern: str,
        path: str | None = None,
        glob: str | None = None,
        *,
        max_count: int | None = None,
    ) -> GrepResult:
        """Lines that hold a text."""
        try:
            paths = [one.path for one in await self._matching(glob, path)]
        except ValueError as error:
            return GrepResult(error=str(error))
        most = None if max_count is None else max_count + 1
        found = await self._files.do(files.search, pattern, paths, most)
        shown = found if max_count is None else found[:max_count]
        return GrepResult(
            matches=[{"path": path, "line": line, "text": text} for path, line, text in shown],
            truncated=len(shown) < len(found),
        )

    async def aglob(self, pattern: str, path: str | None = None) -> GlobResult:
        """Files whose paths match, the newest first."""
        try:
            found = await self._matching(pattern, path)
        except ValueError as error:
            return GlobResult(error=str(error))
        newest = sorted(found, key=lambda one: one.mtime, reverse=True)
        return GlobResult(matches=[_info(one) for one in newest])

    async def aupload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """Make files; each is a step of its own."""
        return [FileUploadResponse(path, await self._upload(path, data)) for path, data in files]

    async def adownload_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """All of these files; each is a step of its own."""
        return [await self._download(path) for path in paths]

    # -- the same for plain code ----------------------------------------------------------------

    def ls(self, path: str) -> LsResult:
        """`als`, from another thread than the loop's."""
        return self._files.bridge.wait(self.als, path)

    def read(self, file_path: str, offset: int = 0, limit: int = 2000) -> ReadResult:
        """`aread`, from another thread than the loop's."""
        return self._files.bridge.wait(self.aread, file_path, offset, limit)

    def write(self, file_path: str, content: str) -> WriteResult:
        """`awrite`, from another thread than the loop's."""
        return self._files.bridge.wait(self.awrite, file_path, content)

    def edit(
        self,
        file_path: str,
        old_string: str,
        new_string: str,
        replace_all: bool = False,
    ) -> EditResult:
        """`aedit`, from another thread than the loop's."""
        return self._files.bridge.wait(self.aedit, file_path, old_string, new_string, replace_all)

    def delete(self, file_path: str) -> DeleteResult:
        """`adelete`, from another thread than the loop's."""
        return self._files.bridge.wait(self.adelete, file_path)

    def grep(
        self,
        pattern: str,
        path: str | None = None,
        glob: str | None = None,
        *,
        max_count: int | None = None,
    ) -> GrepResult:
        """`agrep`, from another thread than the loop's."""
        found = partial(self.agrep, max_count=max_count)
        return self._files.bridge.wait(found, pattern, path, glob)

    def glob(self, pattern: str, path: str | None = None) -> GlobResult:
        """`aglob`, from another thread than the loop's."""
        return self._files.bridge.wait(self.aglob, pattern, path)

    def upload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """`aupload_files`, from another thread than the loop's."""
        return self._files.bridge.wait(self.aupload_files, files)

    def download_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """`adownload_files`, from another thread than the loop's."""
        return self._files.bridge.wait(self.adownload_files, paths)

    # -- inside ---------------------------------------------------------------------------------

    async def _matching(self, pattern: str | None, path: str | None) -> list[Found]:
        """Files at and below a path whose rest of the path matches; ValueError for the pattern."""
        matches = None if pattern is None else compile_grep_include_glob(pattern)
        root = posixpath.normpath(f"/{path or ''}").replace("//", "/")
        return [
            one
            for one in await self._files.do(files.tree, root)
            if matches is None or matches(_below(one.path, root))
        ]

    async def _upload(self, path: str, data: bytes) -> str | None:
        try:
            await self._files.do(files.write, path, data)
        except FileError as error:
            return _code(error)
        return None

    async def _download(self, path: str) -> FileDownloadResponse:
        try:
            data, _ = await self._files.do(files.read, path)
        except FileError as error:
            return FileDownloadResponse(path, error=_code(error))
        return FileDownloadResponse(path, data)


def facet_subagent(
    agent: Any, *, name: str | None = None, description: str | None = None
) -> CompiledSubAgent:
    """An agent of facets as a sub-agent: `create_deep_agent(subagents=[facet_subagent(stub)])`.

    A task is a turn of it, on disk step by step, and its output the result. It is one agent with
    one session: it remembers the tasks before. What makes a turn fail is text for the model;
    cancelling the task cancels the turn. Name and description are those of its class unless they
    are given.
    """
    cls = class_of(agent)
    bridge, target = Bridge(agent), plain(agent)

    async def turn(state: dict[str, Any]) -> dict[str, Any]:
        prompt = state["messages"][-1].text
        try:
            output = str(await bridge.run(target.run, prompt))
        except FATAL:
            raise
        except Exception as error:
            output = told(error)
        return {"messages": [AIMessage(output)]}

    def wait(state: dict[str, Any]) -> dict[str, Any]:
        return bridge.wait(turn, state)

    return CompiledSubAgent(
        name=name or cls.__name__.lower(),
        description=description or (cls.__doc__ or "").strip().split("\n\n")[0],
        runnable=RunnableLambda(wait, turn),
    )


def _info(one: Found) -> FileInfo:
    return FileInfo(
        path=f"{one.path}/" if one.is_dir else one.path,
        is_dir=one.is_dir,
        size=one.size,
        modified_at=_iso(one.mtime),
    )


def _data(data: bytes, mtime: float) -> FileData:
    """Text, or base64 of what is none."""
    try:
        made = create_file_data(data.decode())
    except UnicodeDecodeError:
        made = create_file_data(b64encode(data).decode(), encoding="base64")
    return FileData(content=made["content"], encoding=made["encoding"], modified_at=_iso(mtime))


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _below(path: str, root: str) -> str:
    return posixpath.basename(path) if path == root else posixpath.relpath(path, root)


def _code(error: FileError) -> str:
    """What backends call the most usual errors."""
    known = {errno.ENOENT: "file_not_found", errno.EISDIR: "is_directory"}
    return known.get(error.code, "invalid_path")
