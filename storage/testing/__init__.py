"""Parts for tests, ours and yours.

objects       object stores that forget, fail and pause when told to
conformance   what every object store must do, as tests to run on yours
"""
