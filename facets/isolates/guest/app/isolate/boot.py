"""Loading: the tool's modules, what can be called in them, and the answer that says so."""

from asyncio import events

from isolate import modules, output
from isolate.calls import Calls
from isolate.failures import describe
from isolate.loop import Loop
from isolate.target import NoTarget, Target
from isolate.values import encode, lift, receive

PROTOCOL = 1


def boot(message):
    """Load what `message` describes. Returns the calls, if it could, and the answer."""
    order, tail = receive(message)
    low, high = order["proto"]
    if not low <= PROTOCOL <= high:
        return None, encode(["err", {"type": "Protocol", "message": f"this guest speaks {PROTOCOL}"}])
    # `asyncio.run` at import must say that a loop runs, and not build one out of sockets.
    events._set_running_loop(Loop(int))
    try:
        target = _load(order, tail)
    except NoTarget as error:
        return None, encode(["err", {"type": "NoTarget", "message": str(error)}])
    except BaseException as error:
        return None, encode(["err", describe(error)])
    finally:
        events._set_running_loop(None)
        output.flush()
    return Calls(target), encode(["ready", _ready(target)])


def _load(order, tail):
    attributes = dict(order["identity"] or {})
    attributes["props"] = lift(order["props"], tail)
    attributes["env"] = lift(order["env"], tail)
    module = modules.load(order["modules"], order["main"])
    return Target(module, order["target"], order["actor"], attributes)


def _ready(target):
    return {
        "proto": PROTOCOL,
        "methods": target.methods,
        "exclusive": target.exclusive,
        "plain": target.plain,
        "migrations": target.migrations,
        "hooks": target.hooks,
    }
