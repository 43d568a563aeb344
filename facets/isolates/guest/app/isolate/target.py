"""What of the tool can be called: an actor, a plain class, a function, or the module itself."""

import inspect
import types

from facets import Actor
from facets.timers import is_private
from isolate.failures import describe
from isolate.storage import end_step, operate, undo

HOOKS = ("on_start", "on_stop", "on_facet_due")
_OURS = frozenset(vars(Actor))


class NoTarget(Exception):
    """The module has nothing callable of that name."""


class Target:
    """The thing that calls go to. Its object is made by the first call.

    `methods` maps each public name to its kind, `plain` names public functions that may not be
    called from outside because they are not async.
    """

    def __init__(self, module, name, actor, attributes):
        self._make = None
        self._object = None
        self.migrations = []
        self.hooks = []
        self.plain = []
        self.exclusive = []
        self.methods = {}
        if not name:
            self._functions(module)
            return
        found = _find(module, name)
        if isinstance(found, type):
            if actor and not issubclass(found, Actor):
                raise NoTarget(f"{name} is not an Actor; write `class {name}(Actor):`")
            self._class(found, attributes)
        elif actor:
            raise NoTarget(f"{name} is not a class")
        elif callable(found):
            self.methods[""] = kind_of(found) or "call"
            self._table = {"": found}
        else:
            raise NoTarget(f"{name} is neither a class nor a function")

    def _functions(self, module):
        self._table = {}
        for name, value in vars(module).items():
            if inspect.isfunction(value) and name[0] != "_" and value.__module__ == module.__name__:
                self.methods[name] = kind_of(value) or "call"
                self._table[name] = value

    def _class(self, cls, attributes):
        self._table = {}
        found = {}
        for base in reversed(cls.__mro__):
            if base is not object and base is not Actor:
                found.update(base.__dict__)
        for name in sorted([name for name in found if name[:1] != "_" and name not in _OURS]):
            value = found[name]
            kind = kind_of(value)
            if name in HOOKS:
                self.hooks.append(name)
            elif kind:
                self.methods[name] = kind
                if getattr(value, "__facets_exclusive__", False):
                    self.exclusive.append(name)
            elif inspect.isroutine(value):
                self.plain.append(name)
        if issubclass(cls, Actor):
            self.migrations = [str(migration) for migration in cls.migrations]
        self._make = lambda: _instance(cls, attributes)

    def find(self, method):
        """The bound callable for a name that is in `methods` or `hooks`."""
        try:
            return self._table[method]
        except KeyError:
            pass
        if method not in self.methods and method not in self.hooks:
            raise AttributeError(f"there is no method {method!r}")
        if self._object is None:
            self._object = self._make()
        bound = self._table[method] = getattr(self._object, method)
        return bound

    def timed(self, timer, method):
        """The same for a delivery of a timer: of a private method too. Its last step says that it
        is done."""
        if self.methods.get(method) == "call":
            function = self.find(method)
        else:
            if self._object is None:
                self._object = self._make()
            if not is_private(type(self._object), method):
                raise AttributeError(f"there is no method {method!r}")
            function = getattr(self._object, method)

        async def deliver(*args, **kwargs):
            await function(*args, **kwargs)
            operate("timers", ["done", [timer], {}])

        return deliver

    def keyed(self, number, method):
        """The same for a call with a key: its last step says what came of it."""
        function = self.find(method)

        async def keep(*args, **kwargs):
            try:
                result = await function(*args, **kwargs)
                operate("outcome", [number, False, result])
            except Exception as error:
                undo()
                operate("outcome", [number, True, describe(error)])
                end_step()
                raise
            return result

        return keep


def _find(module, name):
    try:
        return getattr(module, name)
    except AttributeError:
        public = [n for n, v in vars(module).items() if n[0] != "_" and callable(v)]
        raise NoTarget(f"there is no {name!r} in {module.__name__}; there is {public}") from None


def kind_of(value):
    """ "call" for an async function, "stream" for an async generator, else None."""
    if type(value) is types.FunctionType and not value.__dict__:
        # What `inspect` would say, which takes a tenth of a load to say it.
        flags = value.__code__.co_flags
        if flags & inspect.CO_ASYNC_GENERATOR:
            return "stream"
        return "call" if flags & inspect.CO_COROUTINE else None
    if inspect.isasyncgenfunction(value):
        return "stream"
    return "call" if inspect.iscoroutinefunction(value) else None


def _instance(cls, attributes):
    made = cls.__new__(cls)
    if isinstance(made, Actor):
        made.__dict__.update(attributes)
    made.__init__()
    return made
