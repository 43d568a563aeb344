"""The engine of raw WebAssembly: ours, with the parts of the language that tools commonly emit.

Threads are off: a wait on a shared memory would hold a host thread, and shared memory escapes the
limit. A second memory would double the limit. Garbage collection, exceptions, 64-bit memories and
asynchronous components are left out because nothing here calls for them.
"""

from __future__ import annotations

import wasmtime

from facets.isolates import capi, engine
from facets.isolates.wasm.capi import component_async

CONFIG = f"{engine.CONFIG} raw=1"
"""What native code depends on; part of its key."""
MEMORIES = 1
TABLES = 16
TABLE_ELEMENTS = 1 << 16
INSTANCES = 200
"""How many memories, tables, entries of one table and core instances a module may have."""


def make_engine() -> wasmtime.Engine:
    """An engine for code of any origin."""
    config = engine.make_config()
    config.parallel_compilation = False
    config.wasm_threads = False
    config.shared_memory = False
    config.wasm_multi_memory = False
    config.wasm_memory64 = False
    config.wasm_gc = False
    config.wasm_function_references = False
    config.wasm_exceptions = False
    config.wasm_custom_page_sizes = False
    config.wasm_stack_switching = False
    component_async(capi.address(config.ptr()), False)
    return wasmtime.Engine(config)


def limit(store: wasmtime.Store, memory: int) -> None:
    """Bound what an instance in this store may hold."""
    store.set_limits(
        memory_size=memory,
        table_elements=TABLE_ELEMENTS,
        instances=INSTANCES,
        tables=TABLES,
        memories=MEMORIES,
    )
