"""Fuzzing of what reads a guest's words. `FACETS_FUZZ_EXAMPLES=100000` makes it a long run."""

import os

EXAMPLES = int(os.environ.get("FACETS_FUZZ_EXAMPLES", "150"))
"""Scripts for each test."""
