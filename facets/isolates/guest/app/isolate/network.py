"""No network, said as an error: without this, the first socket would end the isolate."""

import _socket
import errno
import select

_LOOKUPS = ("getaddrinfo", "gethostbyaddr", "gethostbyname", "gethostbyname_ex", "getnameinfo")


_WHY = "an isolate has no sockets; use facets.fetch, urllib.request or httpx, if it has an egress"


def _refuse(*_args, **_kwargs):
    raise PermissionError(errno.EACCES, _WHY)


class Socket(_socket.socket):
    """What `socket.socket` derives from: it cannot be made."""

    __init__ = _refuse


def install():
    """Refuse what would trap. Before `socket` is first imported."""
    _socket.socket = _socket.SocketType = Socket
    for name in _LOOKUPS:
        if hasattr(_socket, name):
            setattr(_socket, name, _refuse)
    for name in ("select", "poll"):
        if hasattr(select, name):
            setattr(select, name, _refuse)
