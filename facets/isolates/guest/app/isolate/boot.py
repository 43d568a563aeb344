"""Loading: the tool's modules, what can be called in them, and the answer that says so."""

from asyncio import events

from facets import children
from isolate import modules, output
from isolate.failures import describe
from isolate.target import NoTarget, Target
from isolate.values import Blob, encode, lift, lower, receive

PROTOCOL = 1


def boot(calls, message):
    """Load what `message` describes into `calls`; the answer."""
    order, tail = receive(message)
    calls.longest = order["output"]
    low, high = order["proto"]
    if not low <= PROTOCOL <= high:
        return encode(["err", {"type": "Protocol", "message": f"this guest speaks {PROTOCOL}"}])
    if order.get("compile"):
        blob = Blob()
        made = modules.compiled(lift(order["modules"], tail), order["paths"])
        return blob.frame(encode(["code", lower(made, blob)]))
    # `asyncio.run` at import must say that a loop runs, and not build one out of sockets.
    events._set_running_loop(calls.loop)
    try:
        calls.target = _load(order, tail)
    except NoTarget as error:
        return encode(["err", {"type": "NoTarget", "message": str(error)}])
    except BaseException as error:
        return encode(["err", describe(error)])
    finally:
        events._set_running_loop(None)
        output.flush()
    return encode(["ready", _ready(calls.target)])


def _load(order, tail):
    attributes = lift(order["identity"], tail)
    attributes["props"] = lift(order["props"], tail)
    attributes["env"] = lift(order["env"], tail)
    sources, code = lift(order["modules"], tail), lift(order["code"], tail)
    module = modules.load(sources, order["main"], code, order["paths"], order["tops"])
    children.bind(order["main"])
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
