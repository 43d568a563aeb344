"""Capabilities: what code in an isolate may call, and nothing besides.

capability   what one is: described, called, taken back
marked       `@capability` on functions and classes
reference    which values are capabilities: those, stubs, marked objects
errors       denied, revoked, expired
"""
