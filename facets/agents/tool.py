"""Tools: functions that a model may call, each with a JSON schema of its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_type_hints, overload

from facets.agents.errors import BadToolArguments, BadToolDefinition

if TYPE_CHECKING:
    from facets.codemode.policy import ApprovalRule

F = TypeVar("F", bound=Callable[..., Any])
SECONDS = 30.0
"""What a call of a tool may take where nothing is said."""
Check = Callable[[dict[str, Any]], dict[str, Any]]
Need = bool | Callable[[dict[str, Any]], bool] | Sequence["ApprovalRule"]
_MARK = "_facets_tool"


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call: what it is shown, and what is run."""

    name: str
    description: str
    schema: Mapping[str, Any]
    """JSON schema of the arguments: an object."""
    call: Callable[..., Awaitable[Any]]
    """Takes the arguments by name. `BadToolArguments` if they are not what the schema says, as far
    as that is checked: nothing has run then."""
    seconds: float | None = SECONDS
    """What a call may take: then it is cancelled, its last step undone, and the model told. None
    for as long as the turn may."""
    approval: Need = False
    """Which calls wait until somebody approves them."""
    check: Check | None = None
    """Converts the arguments; `BadToolArguments`. Run before anybody is asked to approve a call."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """What `@tool` says of a function."""

    name: str | None = None
    description: str | None = None
    seconds: float | None = SECONDS
    approval: Need = False


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    seconds: float | None = SECONDS,
    approval: Need = False,
) -> Callable[[F], F]: ...
def tool(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    seconds: float | None = SECONDS,
    approval: Need = False,
) -> Any:
    """Mark a method of an agent, or a function, as a tool: `@tool` or `@tool(name=...)`.

    The function stays as it is. Its name and docstring are what a model is shown, unless said
    otherwise; its annotations are the schema of its arguments, by which they are checked and
    converted. `typing.Annotated[int, pydantic.Field(description=...)]` describes one of them.

    `seconds` is what a call may take, None for as long as the turn may. It is cancelled at its next
    await then, its last step is undone, and the model reads that it took too long.

    A call that needs `approval` pauses its turn until `Agent.approve` or `Agent.reject`: each one
    with True; those for which a function of the arguments, by name, is true; or what rules say,
    `facets.codemode.Allow`, `Ask` and `Deny`, of which the first that fits decides. A function that
    raises fails the call, which does not run.
    """

    def mark(function: Any) -> Any:
        setattr(function, _MARK, _Mark(name, description, seconds, approval))
        return function

    return mark if function is None else mark(function)


def is_tool(function: object) -> bool:
    """Whether `@tool` marks it."""
    return isinstance(getattr(function, _MARK, None), _Mark)


@lru_cache(maxsize=256)
def marked(cls: type) -> tuple[str, ...]:
    """Names of the methods of a class that are tools."""
    return tuple(name for name in dir(cls) if is_tool(inspect.getattr_static(cls, name)))


def check_names(cls: type, own: type) -> None:
    """`BadToolDefinition` if `cls` marks as a tool what hides a method of `own`, as `run`."""
    for name, member in vars(cls).items():
        if is_tool(member) and hasattr(own, name):
            raise BadToolDefinition(
                f"{cls.__qualname__}.{name} would hide {own.__name__}.{name}",
                hint=f"call the method something else: @tool(name={name!r}) keeps the tool's name",
                name=name,
            )


def tool_of(function: Callable[..., Any]) -> Tool:
    """The tool that a function is, marked or not; a bound method without its `self`.

    `BadToolDefinition` if its parameters cannot be given by name, or have no JSON schema.
    """
    mark: _Mark = getattr(function, _MARK, _Mark())
    name = mark.name or str(getattr(function, "__name__", ""))
    if not name.isidentifier():
        raise BadToolDefinition(f"{function!r} has no name that a model could call it by")
    schema, check = _arguments(name, _plain(function), inspect.ismethod(function))

    async def call(**arguments: Any) -> Any:
        found = function(**check(arguments))
        return await found if inspect.isawaitable(found) else found

    description = mark.description or inspect.getdoc(function) or ""
    return Tool(name, description, schema, call, mark.seconds, mark.approval, check)


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a bound method, which all agents of a class share."""
    return function.__func__ if inspect.ismethod(function) else function


@lru_cache(maxsize=1024)
def _arguments(
    name: str, function: Callable[..., Any], bound: bool
) -> tuple[dict[str, Any], Check]:
    """The schema of the arguments, and what checks and converts them. Half a millisecond, once."""
    from pydantic import TypeAdapter, ValidationError
    from pydantic.errors import PydanticUserError

    try:
        adapter = TypeAdapter[Any](_shape(name, function, bound))
        schema = adapter.json_schema()
    except (PydanticUserError, NameError, TypeError) as error:
        raise BadToolDefinition(
            f"the parameters of tool {name!r} have no JSON schema: {error}", name=name
        ) from error

    def check(arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            checked: dict[str, Any] = adapter.validate_python(arguments)
        except ValidationError as error:
            raise BadToolArguments(explained(name, error), name=name) from error
        return checked

    return schema, check


def _shape(name: str, function: Callable[..., Any], bound: bool) -> Any:
    """The parameters as a typed dict, whose keys are free, unlike the attributes of a model."""
    from typing import NotRequired

    from pydantic import ConfigDict
    from typing_extensions import TypedDict

    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    extra: Literal["allow", "forbid"] = "forbid"
    for one in [*inspect.signature(function).parameters.values()][bound:]:
        hint = hints.get(one.name, Any)
        if one.kind is one.VAR_KEYWORD:
            extra = "allow"
        elif one.kind in (one.POSITIONAL_ONLY, one.VAR_POSITIONAL):
            raise TypeError(f"{one.name!r} cannot be given by name")
        else:
            fields[one.name] = hint if one.default is one.empty else NotRequired[hint]
    make: Any = TypedDict  # made of names and types that only the function knows
    shape = make(name, fields)
    shape.__pydantic_config__ = ConfigDict(extra=extra)
    return shape


def explained(name: str, error: Any) -> str:
    """What was wrong, for a model to read: no values that it did not send, no links."""
    found = [f"{'.'.join(map(str, one['loc'])) or name}: {one['msg']}" for one in error.errors()]
    return f"wrong arguments of {name}: " + "; ".join(found)
