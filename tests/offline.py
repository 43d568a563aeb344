"""`python -m tests.offline ARGS...`: the `facets` command where no address but loopback answers."""

from __future__ import annotations

import socket
import sys
from typing import Any


def refuse(sock: socket.socket, address: Any) -> None:
    if sock.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"no network here: {address}")
    real(sock, address)


real = socket.socket.connect
socket.socket.connect = refuse  # type: ignore[method-assign, assignment]

if __name__ == "__main__":
    from facets.cli import main

    sys.argv[0] = "facets"
    main()
