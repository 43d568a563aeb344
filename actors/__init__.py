"""Durable actors: names, stubs, steps, the gate, and the runtime of one process."""

from actors.actor import Actor as Actor
from actors.code import Start as Start
from actors.exclusive import exclusive as exclusive
from actors.host import Stats as Stats
from actors.local import LocalRuntime as LocalRuntime
from actors.stub import Stub as Stub
