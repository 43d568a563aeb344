"""stdout and stderr of a tool: whole lines go to the host's log."""

import contextlib
import io
import sys

from wit_world.imports import host

LINE = 64 * 1024


class Output(io.TextIOBase):
    """Collects text until a newline, then logs it; `flush` logs what there is."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, stream):
        self._stream = stream
        self._pending = []
        self._size = 0

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self._pending.append(text)
            self._size += len(text)
            if "\n" in text or self._size > LINE:
                self.flush()
        return len(text)

    def flush(self):
        """Log what was written so far."""
        if self._pending:
            text = "".join(self._pending)
            self._pending = []
            self._size = 0
            if not text.isascii():
                text = text.encode("utf-8", "replace").decode()  # a lone surrogate would abort
            for start in range(0, len(text), LINE):
                host.log(self._stream, text[start : start + LINE])

    def writable(self):
        return True

    def isatty(self):
        return False


_streams = (Output(1), Output(2))
_before = []


def install():
    """Give the tool its own stdout and stderr, and no stdin."""
    _before[:] = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _streams
    sys.__stdout__ = sys.__stderr__ = None
    sys.stdin = None


def uninstall():
    """Print to where the build prints."""
    sys.stdout, sys.stderr = _before


def settle():
    """Forget where the build printed."""
    _before.clear()


@contextlib.contextmanager
def silent():
    """While the image is built there is no host to log to."""
    log, Output.flush = Output.flush, lambda self: self._pending.clear()
    try:
        yield
    finally:
        Output.flush = log


def flush():
    """Log unfinished lines; the pump does this before it returns."""
    for stream in _streams:
        if stream._pending:
            stream.flush()
