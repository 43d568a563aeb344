"""Attacks, by topic: each ends with exactly its error, and the host is as it was before."""
