"""Raw WebAssembly as an isolate: a core module or a component, given as bytes.

compiling   bytes to native code: in a process of its own, then from a cache
compiler    what runs in that process      engine   Wasmtime, with fewer features
modules     native code, ready to be minted, and its functions by name
core        functions of core modules      component   functions of components
types       WIT types as Python values     guest    one minted module, driven by `Runner`
session     the calls of one of them       deaths   why it ended
log         the one thing it may import    capi     the C API of core modules, bound
"""
