"""References: what this isolate was handed, and what it handed out.

A capability is called through messages and answered in a later pump; `session.py` has the table.
How often a handle came in is counted, and said when the last reference to it is gone (`drop`), in
one message for all that went since the last pump.
"""

from collections import deque
from collections.abc import AsyncIterator, Coroutine
from weakref import WeakValueDictionary

from facets.capability import describe, is_marked
from facets.errors import CapabilityRevoked
from isolate import storage, values
from isolate.failures import build
from isolate.values import ARGUMENTS, Refused, encode, lift

CREDIT = 16
PENDING = 900
"""Calls that wait for their answers at a time; the host allows some more."""
_current = [None]


class Capability:
    """Something that was handed in. Call it, or its methods: await them, or `async for`."""

    __slots__ = ("__weakref__", "_about", "_handle", "_revoked", "_times")

    def __init__(self, handle, about):
        self._handle = handle
        self._about = about
        self._times = 0
        self._revoked = False

    def __call__(self, *args, **kwargs):
        return Reply(self, "", args, kwargs)

    def __getattr__(self, name):
        if name[:1] == "_":
            raise AttributeError(f"{self!r} has no {name!r}")
        return lambda *args, **kwargs: Reply(self, name, args, kwargs)

    def __reduce__(self):
        raise TypeError(f"{self!r} is a reference; it cannot be stored or pickled")

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __repr__(self):
        return f"<capability {self._about['name']}>"

    def __del__(self):
        outside = _current[0]
        if outside is not None and self._times:
            outside.dropped.append([self._handle, self._times])


class Stream(AsyncIterator):
    """An async generator of somebody outside. Iterate it; `aclose()` closes it there."""

    __slots__ = ("__weakref__", "_capability", "_items")

    def __init__(self, capability):
        self._capability = capability
        self._items = _current[0].stream(capability, "", (), {})

    async def __anext__(self):
        return await anext(self._items)

    async def aclose(self):
        await self._items.aclose()

    def __reduce__(self):
        raise TypeError(f"{self!r} is a reference; it cannot be stored or pickled")

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __repr__(self):
        return f"<stream of {self._capability._about['name']}>"


class Reply(Coroutine):
    """A call before it is made: await it, make a task of it, or iterate it."""

    __slots__ = ("_args", "_capability", "_kwargs", "_method", "_running")

    def __init__(self, capability, method, args, kwargs):
        self._capability = capability
        self._method = method
        self._args = args
        self._kwargs = kwargs
        self._running = None

    def _begin(self):
        capability, self._capability = self._capability, None
        if capability is None:
            raise RuntimeError("this call was awaited already; make it again")
        return capability, self._method, self._args, self._kwargs

    def __await__(self):
        return _current[0].call(*self._begin())

    def __aiter__(self):
        return _current[0].stream(*self._begin())

    def send(self, value):
        if self._running is None:
            self._running = self.__await__()
        return self._running.send(value)

    def throw(self, *error):
        if self._running is None:
            self._running = self.__await__()
        return self._running.throw(*error)

    def close(self):
        self._capability = None
        if self._running is not None:
            self._running.close()


class _Stream:
    """Items on their way in."""

    __slots__ = ("answer", "items", "waiter")

    def __init__(self):
        self.items = deque()
        self.answer = None
        self.waiter = None

    def wake(self):
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Outside:
    """The references of one isolate. Made with its `Calls`."""

    def __init__(self, calls):
        self._calls = calls
        self._last = 0
        self._waiting = {}
        self._queue = deque()
        self._held = WeakValueDictionary()
        self._streams = WeakValueDictionary()
        self._exports = {}
        self._numbers = {}
        self._last_export = 0
        self.dropped = []
        _current[0] = storage.references[0] = self

    # -- calls out ----------------------------------------------------------------------------

    def call(self, capability, method, args, kwargs):
        """Make the call and wait for its answer; what `await` runs."""
        yield from self._room()
        future = self._calls.loop.create_future()
        call = self._ask(capability, method, args, kwargs, future)
        try:
            ok, value = yield from future
        finally:
            self._abandon(call)
        if ok:
            return value
        raise value

    async def stream(self, capability, method, args, kwargs):
        """Make the call and iterate its answer."""
        while len(self._waiting) >= PENDING:
            await self._turn()
        stream = _Stream()
        call = self._ask(capability, method, args, kwargs, stream)
        self._say(f'["more",{call},{CREDIT}]')
        taken = 0
        try:
            while True:
                while not stream.items:
                    if stream.answer is not None:
                        if stream.answer[0]:
                            return
                        raise stream.answer[1]
                    stream.waiter = self._calls.loop.create_future()
                    await stream.waiter
                taken += 1
                if taken == CREDIT // 2 and stream.answer is None:
                    self._say(f'["more",{call},{taken}]')
                    taken = 0
                yield stream.items.popleft()
        finally:
            self._abandon(call)

    def _room(self):
        while len(self._waiting) >= PENDING:
            yield from self._turn()

    def _turn(self):
        future = self._calls.loop.create_future()
        self._queue.append(future)
        return future

    def _ask(self, capability, method, args, kwargs, waits):
        if capability._revoked:
            raise CapabilityRevoked(f"{capability._about['name']} was revoked", method=method)
        text = self._calls.lowered([(ARGUMENTS, list(args)), (ARGUMENTS, kwargs)])
        self._last += 1
        call = self._last
        self._waiting[call] = waits
        cause = storage.call_id.get()
        # encode: a method's name is any text
        self._say(f'["call",{call},{capability._handle},{encode(method)},{text},{cause}]')
        return call

    def _abandon(self, call):
        """Nobody waits for this answer any more."""
        if self._waiting.pop(call, None) is not None:
            self._say(f'["cancel",{call}]')
            self._next()

    def _next(self):
        while self._queue:
            future = self._queue.popleft()
            if not future.done():
                future.set_result(None)
                return

    def _say(self, text):
        self._calls.out.append(text)

    # -- what the host says ---------------------------------------------------------------------

    def ans(self, tail, call, value):
        """The result of a call."""
        value = lift(value, tail)
        waits = self._waiting.pop(call, None)
        if waits is not None:
            self._next()
            if not waits.done():
                waits.set_result((True, value))

    def err(self, tail, call, error):
        """A call failed."""
        self._ended(call, (False, build(lift(error, tail))))

    def item(self, tail, call, value):
        """One item of a stream."""
        value = lift(value, tail)
        stream = self._waiting.get(call)
        if stream is not None:
            stream.items.append(value)
            stream.wake()

    def end(self, tail, call):
        """A stream is over."""
        self._ended(call, (True, None))

    def _ended(self, call, answer):
        waits = self._waiting.pop(call, None)
        if waits is None:
            return
        self._next()
        if isinstance(waits, _Stream):
            waits.answer = answer
            waits.wake()
        elif not waits.done():
            waits.set_result(answer)

    def revoke(self, tail, handle):
        """A capability was taken back."""
        held = self._held.get(handle)
        if held is not None:
            held._revoked = True

    def drop(self, tail, pairs):
        """Nobody outside holds these any more."""
        for number, times in pairs:
            export = self._exports[number]
            export[2] -= times
            if export[2] <= 0:
                del self._exports[number]
                del self._numbers[id(export[0])]

    # -- values -----------------------------------------------------------------------------------

    def received(self, tagged):
        """The capability that a handle is, one object for each handle."""
        handle = tagged[1]
        held = self._held.get(handle)
        if held is None:
            held = self._held[handle] = Capability(handle, tagged[2])
        held._times += 1
        if held._about["kind"] != "stream":
            return held
        stream = self._streams.get(handle)
        if stream is None:
            stream = self._streams[handle] = Stream(held)
        return stream

    def reference(self, value):
        """The tagged value that stands for a capability or for something marked."""
        if isinstance(value, Stream):
            value = value._capability
        if isinstance(value, Capability):
            return {"$": ["r", value._handle]}
        number = self._numbers.get(id(value))
        if number is None:
            number = self._last_export = self._last_export + 1
            self._numbers[id(value)] = number
            self._exports[number] = [value, describe(value), 0]
        export = self._exports[number]
        export[2] += 1
        return {"$": ["g", number, export[1]]}

    def own(self, tagged):
        """What was handed out and comes back."""
        return self._exports[tagged[1]][0]

    def export(self, number, method):
        """What a call to an export runs, and whether that is a stream."""
        value, about, _ = self._exports[number]
        kind = about["methods"].get(method)
        if kind is None:
            raise AttributeError(f"{about['name']} has no method {method!r}")
        if about["kind"] == "stream":
            return (lambda: value), True
        return (getattr(value, method) if method else value), kind == "stream"


def _reference(v, blob, depth):
    if blob.references is None:
        raise Refused("a capability is not data; it cannot be stored")
    return blob.references.reference(v)


def forget():
    """Let go of the last isolate's references."""
    _current[0] = storage.references[0] = None


def install():
    """Teach the codec about references."""
    values._LOWER[Capability] = values._LOWER[Stream] = _reference
    values.is_marked = is_marked
    values.lower_marked = _reference
    values._LIFT["r"] = lambda x, blob: _current[0].received(x)
    values._LIFT["g"] = lambda x, blob: _current[0].own(x)


install()
