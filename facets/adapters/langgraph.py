"""LangGraph: checkpoints of a graph in actors, one for each thread."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Iterator, Sequence
from secrets import token_hex
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.base import Checkpoint as State
from langgraph.checkpoint.serde.base import SerializerProtocol

from facets.adapters.checkpoints import (
    EMPTY,
    Checkpoint,
    Checkpoints,
    Found,
    Packed,
    Value,
    Write,
)
from facets.adapters.places import Place

PAGE = 50
"""Checkpoints that `list` looks at in one call."""
SHORT = 64
"""Bytes: a list whose elements are shorter on average is stored as a whole."""


class FacetSaver(BaseCheckpointSaver[str]):
    """Keeps the checkpoints of each thread of a graph in an actor of its own.

        async with LocalRuntime("state/") as runtime:
            graph = builder.compile(checkpointer=FacetSaver(runtime))
            await graph.ainvoke(state, {"configurable": {"thread_id": "alice"}})

    `place` is a runtime, or `self.facets` of an actor, whose facets the threads are. The
    synchronous methods, `graph.invoke` and `stream`, are for other threads than that of the event
    loop: use `runtime.blocking()` in plain code, which has the asynchronous ones too.

    What is put is on disk, in one commit, when the call returns: a graph goes on from its last
    superstep after a crash, and repeats no task whose writes were put. A value is stored once for
    all checkpoints that have it, and so is each element of a long list.

    With `keep`, at least that many of the newest checkpoints of a thread stay, at most a quarter
    more; older ones go in the commit that puts one, with the subgraphs that ran below them.
    Without, everything stays until `prune` or `delete_thread`. `copy_thread` takes the place of the
    target.

    Listing without a thread and `delete_for_runs` look at every thread there is.
    """

    def __init__(
        self, place: Any, *, keep: int | None = None, serde: SerializerProtocol | None = None
    ) -> None:
        super().__init__(serde=serde)
        if keep is not None and keep < 1:
            raise ValueError("the newest checkpoint cannot go: keep at least 1")
        self._place = Place(place)
        self._keep = keep

    def get_next_version(self, current: str | int | None, channel: None) -> str:
        """A version that sorts behind `current`, and is not that of another branch."""
        number = int(str(current or 0).partition(".")[0]) + 1
        return f"{number:016}.{token_hex(4)}"

    # -- asynchronous ------------------------------------------------------------------------------

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that the config names, or the newest of its thread and namespace."""
        thread, ns, id = _key(config)
        found = await self._call(thread, "find", ns, id)
        return None if found is None else self._tuple(thread, found)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Those that fit, the newest first; of several threads, one thread after the other."""
        last = None if before is None else get_checkpoint_id(before)
        left = -1 if limit is None else limit
        for thread in await self._threads(config):
            ns, id = (None, None) if config is None else _place_of(config)
            async for one in self._pages(thread, ns, id, last):
                if left == 0:
                    return
                metadata = self._loads(one.metadata)
                if any(metadata.get(key) != value for key, value in (filter or {}).items()):
                    continue
                found = await self._call(thread, "find", one.ns, one.id)
                if found is not None:
                    left -= 1
                    yield self._tuple(thread, found)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: State,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint; the config that names it."""
        thread, ns, parent = _key(config)
        body = cast("dict[str, Any]", checkpoint.copy())
        values, versions = body.pop("channel_values"), body.pop("channel_versions")
        known = cast("dict[str, Any]", get_checkpoint_metadata(config, metadata))
        new = Checkpoint(
            ns, checkpoint["id"], parent, self._dumps(body), self._dumps(known), dict(versions),
            known.get("run_id"), tuple(known.get("counters_since_delta_snapshot", ())),
        )  # fmt: skip
        stored = [self._value(name, version, values) for name, version in new_versions.items()]
        await self._call(thread, "put", new, stored, self._keep)
        return _config(thread, ns, new.id)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote after the checkpoint that the config names."""
        thread, ns, id = _key(config)
        stored = [
            Write(task_id, WRITES_IDX_MAP.get(channel, i), channel, self._dumps(value), task_path)
            for i, (channel, value) in enumerate(writes)
        ]
        await self._call(thread, "write", ns, id, stored)

    async def adelete_thread(self, thread_id: str) -> None:
        """Wipe a thread; nothing happens if it is not there."""
        await self._place.delete(Checkpoints, str(thread_id))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Drop the checkpoints of these runs, in all threads; a commit for each thread."""
        for thread in await self._threads(None) if run_ids else ():
            await self._call(thread, "drop", list(map(str, run_ids)))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Make the target a copy of the source, in one commit; `NoState` without a source."""
        await self._place.clone(Checkpoints, str(source_thread_id), str(target_thread_id))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Drop all but the newest checkpoint of each namespace, or with "delete" the threads."""
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"there is no strategy {strategy!r}; there are keep_latest and delete")
        for thread in thread_ids:
            if strategy == "delete":
                await self.adelete_thread(thread)
            elif str(thread) in await self._threads(None):
                await self._call(str(thread), "prune")

    # -- the same for plain code -------------------------------------------------------------------

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """`aget_tuple`, from another thread than the loop's."""
        return self._place.bridge.wait(self.aget_tuple, config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """`alist`, from another thread than the loop's."""
        items = self.alist(config, filter=filter, before=before, limit=limit)
        return self._place.bridge.iterate(items)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: State,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """`aput`, from another thread than the loop's."""
        return self._place.bridge.wait(self.aput, config, checkpoint, metadata, new_versions)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """`aput_writes`, from another thread than the loop's."""
        self._place.bridge.wait(self.aput_writes, config, writes, task_id, task_path)

    def delete_thread(self, thread_id: str) -> None:
        """`adelete_thread`, from another thread than the loop's."""
        self._place.bridge.wait(self.adelete_thread, thread_id)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """`adelete_for_runs`, from another thread than the loop's."""
        self._place.bridge.wait(self.adelete_for_runs, run_ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """`acopy_thread`, from another thread than the loop's."""
        self._place.bridge.wait(self.acopy_thread, source_thread_id, target_thread_id)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """`aprune`, from another thread than the loop's."""

        async def prune() -> None:
            await self.aprune(thread_ids, strategy=strategy)

        self._place.bridge.wait(prune)

    # -- inside ------------------------------------------------------------------------------------

    async def _call(self, thread: str, method: str, *args: Any) -> Any:
        return await self._place.call(Checkpoints, thread, method, *args)

    async def _threads(self, config: RunnableConfig | None) -> builtins.list[str]:
        return await self._place.names(Checkpoints) if config is None else [_key(config)[0]]

    async def _pages(
        self, thread: str, ns: str | None, id: str | None, before: str | None
    ) -> AsyncIterator[Checkpoint]:
        """Checkpoints of one thread; those that come meanwhile are not seen."""
        skip, page = 0, [None]
        while page:
            page = await self._call(thread, "page", ns, id, before, skip, PAGE)
            skip += len(page)
            for one in page:
                yield cast("Checkpoint", one)

    def _dumps(self, value: Any) -> Packed:
        return Packed(*self.serde.dumps_typed(value))

    def _loads(self, packed: Packed) -> Any:
        return self.serde.loads_typed((packed.kind, packed.data))

    def _value(self, channel: str, version: str | int | float, values: dict[str, Any]) -> Value:
        if channel not in values:
            return Value(channel, version, Packed(EMPTY, b""))
        value = values[channel]
        if type(value) is list and len(value) > 1:
            parts = tuple(self._dumps(one) for one in value)
            if sum(len(one.data) for one in parts) >= SHORT * len(parts):
                return Value(channel, version, None, parts)
        return Value(channel, version, self._dumps(value))

    def _tuple(self, thread: str, found: Found) -> CheckpointTuple:
        one = found.checkpoint
        values = {
            value.channel: [self._loads(part) for part in value.parts]
            if value.whole is None
            else self._loads(value.whole)
            for value in found.values
            if value.whole is None or value.whole.kind != EMPTY
        }
        state = self._loads(one.body) | {"channel_values": values, "channel_versions": one.versions}
        return CheckpointTuple(
            config=_config(thread, one.ns, one.id),
            checkpoint=cast("State", state),
            metadata=self._loads(one.metadata),
            parent_config=None if one.parent is None else _config(thread, one.ns, one.parent),
            pending_writes=[(w.task, w.channel, self._loads(w.value)) for w in found.writes],
        )


def _key(config: RunnableConfig) -> tuple[str, str, str | None]:
    """Thread, namespace and checkpoint."""
    known = config["configurable"]
    return str(known["thread_id"]), known.get("checkpoint_ns", ""), get_checkpoint_id(config)


def _place_of(config: RunnableConfig) -> tuple[str | None, str | None]:
    """Namespace and checkpoint, as far as it says."""
    return config["configurable"].get("checkpoint_ns"), get_checkpoint_id(config)


def _config(thread: str, ns: str, id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": id}}
