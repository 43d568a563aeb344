"""One isolate's calls: messages in, tasks, messages out. `session.py` has the table of messages."""

import asyncio
import traceback
import types
from asyncio import events

from isolate import output, storage
from isolate.capabilities import Outside
from isolate.failures import describe
from isolate.loop import Loop
from isolate.values import Blob, dump, encode, lift, lower, receive, reserve

SMALL = 2**63
COROUTINE = types.CoroutineType
NO_MEMORY = '["panic","MemoryError",""]'
_ANSWERS = frozenset({"ans", "err", "item", "end", "revoke", "drop"})
"""What is about references, and not about the calls of the host."""


class TooLong(BaseException):
    """A value is longer than any message may be."""


class Calls:
    """Everything that runs in this isolate. Made at build; `target` is set by `boot`."""

    def __init__(self):
        self.target = None
        self.longest = 1 << 24
        self.loop = Loop(storage.after_step)
        storage.bind(self.loop)
        self.out = []
        self.outside = Outside(self)
        self.blob = Blob(self.outside)
        self.tasks = {}
        self.streams = {}

    def pump(self, inbox):
        """Take the messages, run until nothing is ready, return what there is to say."""
        messages, tail = receive(inbox)
        loop = self.loop
        loop.now = messages.pop(0)
        events._set_running_loop(loop)
        try:
            for message in messages:
                tag = message[0]
                if tag == "call":
                    self._start(message, tail)
                elif tag in _ANSWERS:
                    getattr(self.outside, tag)(tail, *message[1:])
                else:
                    getattr(self, "_" + tag)(*message[1:])
            if loop._ready or loop._scheduled:
                loop.spin()
        finally:
            events._set_running_loop(None)
        output.flush()
        return self._outbox()

    def _outbox(self):
        out, blob = self.out, self.blob
        self.out = []
        if self.outside.dropped:
            out.append(f'["drop",{encode(self.outside.dropped)}]')
            self.outside.dropped = []
        if self.loop._ready:
            out.append('["again"]')
        if self.loop._scheduled:
            due = self.loop.next_due()
            if due is not None:
                out.append(f'["sleep",{due!r}]')
        text = f"[{','.join(out)}]"
        if not blob.parts:
            return text
        self.blob = Blob(self.outside)
        return blob.frame(text)

    def _start(self, message, tail):
        _, call, method, args, kwargs = message
        self.loop.step += 1
        try:
            if type(method) is list and len(method) == 3:
                made = self.target.timed if method[0] == "timer" else self.target.keyed
                function, streams = made(*method[1:]), False
            elif type(method) is list:
                function, streams = self.outside.export(*method)
            else:
                function = self.target.find(method)
                streams = self.target.methods.get(method) == "stream"
            if tail is not None:
                args, kwargs = lift(args, tail), lift(kwargs, tail)
        except BaseException as error:
            self._failed(call, error)
            return
        run = self._run(call, streams, function, args, kwargs)
        task = asyncio.Task(run, loop=self.loop, eager_start=True)
        if not task.done():
            self.tasks[call] = task
        storage.after_step()

    async def _run(self, call, streams, function, args, kwargs):
        storage.call_id.set(call)
        try:
            result = function(*args, **kwargs)
            if type(result) is COROUTINE:
                result = await result
            elif streams:
                await self._produce(call, result)
                return
            if result is None:
                self.out.append(f'["ok",{call},null]')
            elif type(result) is int and -SMALL < result < SMALL:
                self.out.append(f'["ok",{call},{result}]')
            else:
                self._say("ok", call, result, "result")
        except TooLong as error:
            self.out.append(f'["long",{error.args[0]}]')
        except BaseException as error:
            self._failed(call, error)
        finally:
            if self.tasks:
                self.tasks.pop(call, None)

    def lowered(self, named):
        """The JSON of several values, each with its name, for one message."""
        blob = self.blob
        parts, size = len(blob.parts), blob.size
        try:
            text = ",".join([encode(lower(value, blob, what)) for what, value in named])
            reserve(text, blob.parts[parts:])
        except BaseException:
            del blob.parts[parts:]
            blob.size = size
            raise
        return text

    def _say(self, tag, call, value, what):
        blob = self.blob
        parts, size = len(blob.parts), blob.size
        try:
            text = dump(value, blob, what)
            long = len(text) + blob.size - size
            if long > self.longest:
                # The host ends the isolate for it; there may be no room to send it in full.
                raise TooLong(long)
            reserve(text, blob.parts[parts:])
        except BaseException:
            del blob.parts[parts:]
            blob.size = size
            raise
        self.out.append(f'["{tag}",{call},{text}]')

    def _failed(self, call, error):
        try:
            try:
                self._err(call, error)
            except MemoryError:
                # What filled the memory is held by the frames that the error came through.
                traceback.clear_frames(error.__traceback__)
                self._err(call, error)
        except BaseException:
            self.out.append(NO_MEMORY)  # an answer that nobody hears of would be waited for

    def _err(self, call, error):
        storage.undo()
        self.out.append(f'["err",{call},{encode(describe(error))}]')

    async def _produce(self, call, items):
        """Run the generator on for each item that was asked for, and no further."""
        credit = self.streams[call] = [1, None]
        try:
            while True:
                while credit[0] <= 0:
                    credit[1] = self.loop.create_future()
                    await credit[1]
                credit[0] -= 1
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    break
                self._say("item", call, item, "item")
                self.loop.step += 1  # an item leaves: what was written before it is committed
            self.out.append(f'["end",{call}]')
        finally:
            del self.streams[call]
            await items.aclose()

    # -- the other messages of the host -------------------------------------------------------

    def _more(self, call, count):
        credit = self.streams.get(call)
        if credit:
            credit[0] += count
            if credit[1] and not credit[1].done():
                credit[1].set_result(None)

    def _cancel(self, call, why):
        task = self.tasks.get(call)
        if task:
            task.cancel(why)

    def _tick(self):
        pass
