"""What packages may use. Each is checked before or while something is read, not afterwards."""

PINNED = 128
"""Packages of one isolate."""
UNPACKED = 64 << 20
"""Bytes of all files of all packages of one isolate."""
ARCHIVE = 32 << 20
"""Bytes of one wheel as it is downloaded."""
ENTRIES = 10_000
"""Files of one wheel."""
PAGE = 64 << 20
"""Bytes of one answer of an index about a package."""
METADATA = 4 << 20
"""Bytes of a package's metadata."""
SECONDS = 30.0
"""Wait for an index to connect, or to send more."""
ROUNDS = 2_000
"""Choices that the search for versions makes before it gives up."""
