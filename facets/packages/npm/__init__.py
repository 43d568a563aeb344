"""Packages of npm for JavaScript isolates: ES modules, locked by hash, never run on the host.

    npmrc        the registry that npm uses          registry   what it says about a package
    requirements what may be asked for               resolving  the search for versions
    tarball      one archive, checked                fetching   what the search and bundles read
    manifest     package.json: what a name means     bundle     the packages of one isolate
    imports      whether what they import is there   locking    requirements to a lock

What can be imported: a package's ES modules, and files of CommonJS that require nothing, whose
`module.exports` becomes the default export. Everything that is imported by them, from the main
module of what was asked for onwards, must be in the same package or in another of the lock; else
the package is refused (`NotPure`). A package's main module is what its `exports` say for "import"
(or "browser", or "default"), else `module`, else `main`. One version of each package is taken.
"""
