"""Isolates: fresh WebAssembly sandboxes for code that nobody has read.

    limits      what an isolate may use           code      the source it runs
    session     one isolate with code in it       services  what it needs from its owner
    modules     what the names of modules say     tree      files by path, and modules in them
    files       what a guest reads by name        loading   the order to a guest, its answer
    errors      everything that goes wrong        raised    what a guest raised, outside
    codec       values across the boundary        steps     storage operations and transactions
    serving     calls out of it, under way        using     as whose code those run
    grants      what it was handed, by number     exports   what it handed out
    own         the runtime's services, handle 0  nested    self.facets inside
    content     env and props as a key            eager     tasks that begin at once
    calls       calls under way                   runner    a fiber: loop first, then threads
    instance    one minted guest                  image     its native code, cached
    meter       what an isolate uses              invocation   one load or call of it, over
    tails       who is told of invocations        log       what is kept of them
    held        what a message takes to read      caps         how many isolates there may be
    inbox       what waits to go in               timing       a guest's clock and its timer
    ambient     the time and randomness it sees   minting      a guest for a session
    seeded      a guest that is witnessed         recording    what was witnessed of it
    replaying   its life again, compared          printed      its newest lines
    engine      Wasmtime, set up                  wasi      the ten functions a guest may import
    capi        the C API, bound                  guest/    what runs inside, in Python
    languages   which guest runs what             js/       JavaScript and TypeScript
    native      native code, cached on disk       opening   a session for any language
    wasm/       raw WebAssembly                   science/  CPython with numpy and pandas
    images      which guest code runs in      sweeping     caches on disk, kept to a size

Importing this package imports neither wasmtime nor the guest.
"""

from facets.isolates.code import Code as Code
from facets.isolates.errors import IsolateError as IsolateError
from facets.isolates.limits import Limits as Limits
