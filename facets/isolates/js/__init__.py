"""JavaScript and TypeScript in isolates, on the engine in the wheel of `quickjs-rs` (extra `js`).

    guests      the engine and the type stripper, as sources of native images
    component   the engine as a component with the world of every guest
    snapshot    its memory when the prelude has run
    typescript  types taken away
    lines       what was laid out anew, with its lines where they were
    packages    what a guest imports of packages of npm
    wheel       the wheel's files, pinned
    guest/      what runs inside, before any tool: one function, in the order of its files

The prelude speaks the protocol of `session.py`, so everything from there outwards is the same
for every language. One turn of the prelude, from what the host started to the end of the jobs
that follow, is one step: an `await` that waits for nothing outside does not end it.
"""
