"""The guest: a Python tool behind two exports. Imported once, at build."""

from isolate import chance, library, network

library.install()
network.install()
chance.install()

import time  # noqa: E402

import wit_world  # noqa: E402
from wit_world.imports import host  # noqa: E402

from isolate import baked, boot, connection, output, shapes, snapshot, warm  # noqa: E402
from isolate.calls import Calls  # noqa: E402
from isolate.failures import describe  # noqa: E402
from isolate.values import encode  # noqa: E402


class WitWorld(wit_world.WitWorld):
    """The exports. Neither raises: an exception that escaped would end the isolate."""

    def boot(self, message):
        """Load the tool; without a message, only touch what a load will need."""
        try:
            if not message:
                warm.rehearse()
                _running[0] = Calls()
                return ""
            return boot.boot(_running[0], message)
        except BaseException as error:
            return encode(["err", describe(error)])

    def pump(self, inbox):
        """Exchange messages."""
        try:
            return _running[0].pump(inbox)
        except BaseException as error:
            return encode([["panic", type(error).__name__, str(error)[:1000]]])


def _sleep(seconds):
    """Wait in the isolate's fiber; other calls of this isolate wait too."""
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    host.wait(float(seconds))


def _prepare():
    """Everything that happens at build and is kept in the snapshot."""
    output.install()
    time.sleep = _sleep
    shapes.install()
    connection.install()
    try:
        connection.install()
        large = baked.bake()
        warm.warm()
        _running.append(Calls())
        library.adopt()
        snapshot.settle(4 if large else 1)
    except BaseException:
        output.uninstall()  # who builds this is to read why it failed
        raise
    output.settle()


_running = []
_prepare()
