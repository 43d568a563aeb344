"""Which calls run, which are asked for, which are refused: rules, of which the first decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal

from facets.codemode.errors import CallDenied
from facets.codemode.operation import Operation

Decision = Literal["allow", "ask", "deny"]
Predicate = Callable[[dict[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """A call is like it if its path, its method of HTTP and its arguments are.

    `path` is a pattern of the shell's sort for `connector.tool`, `*` if nothing is said. `method`
    is one method or several, upper case; a tool that is no request has none, and is never like a
    rule that names one. `when` is given the arguments by name; where it raises, the call is
    refused whatever the rule is: a rule that cannot be read opens nothing.
    """

    path: str = "*"
    method: str | Sequence[str] = ()
    when: Predicate | None = None
    decision: ClassVar[Decision]

    def matches(self, operation: Operation, arguments: Mapping[str, Any]) -> bool:
        """Whether this rule decides about a call."""
        methods = (self.method,) if isinstance(self.method, str) else tuple(self.method)
        if not fnmatchcase(operation.path, self.path):
            return False
        if methods and operation.method not in methods:
            return False
        return self.when is None or bool(self.when(dict(arguments)))


class Allow(ApprovalRule):
    """The call runs."""

    decision = "allow"


class Ask(ApprovalRule):
    """The call waits for approval, as long as that takes."""

    decision = "ask"


class Deny(ApprovalRule):
    """The call raises `CallDenied` inside."""

    decision = "deny"


def decide(
    rules: Sequence[ApprovalRule], operation: Operation, arguments: Mapping[str, Any]
) -> Decision:
    """What the first rule that a call is like says; where none is, it is asked for."""
    for rule in rules:
        try:
            if rule.matches(operation, arguments):
                return rule.decision
        except Exception as error:
            raise CallDenied(
                f"{operation.path} was refused: a rule could not be read ({error!r})",
                path=operation.path,
            ) from error
    return "ask"
