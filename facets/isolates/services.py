"""What an isolate needs from whoever owns it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from facets.isolates.errors import IsolateDead

if TYPE_CHECKING:
    from facets.isolates.own import Own
    from facets.isolates.serving import Asked


class Services(Protocol):
    """The owner's side of one session. Every method runs on the loop's thread, outside the guest.

    Storage comes in **steps**: the guest's code between two suspensions. The first operation of
    a step may open a transaction; `commit` or `rollback` ends the step, exactly one of them and
    exactly once for each step that did an operation. No other step begins before.
    """

    own: Own | None
    """What handle 0 stands for; None if the runtime offers nothing."""
    home: Any
    """The activation that the guest's code belongs to: where its exports run; None without one."""
    giver: Any
    """The activation that gave `env` and `props`; None without one."""

    def granter(self, cause: Any) -> Any:
        """The activation whose code passes the arguments of the call `cause`."""

    def own_now(
        self, cause: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run one of the runtime's own services at once, for the call `cause`."""

    def expect(self, several: Sequence[Asked]) -> None:
        """These are about to be used, in this order; raises if they may not be."""

    async def use(self, asked: Asked) -> Any:
        """Run a call to a capability; what it returns, or raises, is the guest's to see."""

    def iterate(self, asked: Asked) -> AsyncGenerator[Any, None]:
        """The items of a stream of a capability."""

    def storage(self, op: str, args: list[Any]) -> object:
        """Run one operation of the current step.

        What it raises is raised in the guest by the same name (FacetsErrors and builtins), and
        the step stays open. Arguments and results are plain values (see `codec`).

            sql, unsafe   [query, args, named]   {"columns": [..], "rows": [[..]..], "changes": n}
            many          [query, rows]          {"changes": n}
            kv            ["get", key]                 the value; KeyError if there is none
                          ["set", key, value]          None
                          ["delete", key]              None; KeyError if there is none
                          ["contains", key]            bool
                          ["len"]                      int
                          ["list", prefix, start, end, limit, reverse]   [[key, value] ..]
                          ["get_many", [key ..]]       {key: value}
                          ["update", {key: value}]     None
                          ["delete_many", [key ..]]    int
                          ["clear"]                    None
            fs            [method, args, kwargs]       what the method of `Files` gives: those in
                                                       `body.FILES`; a Stat as [kind, size, mode,
                                                       mtime_ns, inode], an Entry as [name, path,
                                                       stat]
            timers        ["after" "at" "every" "cron", [when, method, args, kwargs], options]   id
                          ["cancel", [id or name], {}]   ["revive" "forget", [id], {}]    bool
                          ["list" "dead", [], {}]      [[a Timer's fields ..]]
                          ["done", [id], {}]           None; what the last step of its delivery says
            meters        ["spend", meter, amount]     None
                          ["left", meter]              a number; None for infinite
                          ["hold", meter, amount]      the number of the reservation
                          ["settle", number, meter, used]   None
            outcome       [number, False, result], [number, True, error]   None; the last step of a
                                                       call with a key, with what came of it
            begin, release, rollback_to   []           None; a savepoint, innermost first
        """

    def commit(self) -> None:
        """The step ended: keep it. If this raises, so do the calls that took part in it."""

    def rollback(self) -> None:
        """The step raised, was cancelled or killed: undo it."""

    def log(self, stream: str, text: str) -> None:
        """The guest printed this: `stream` is "stdout" or "stderr"."""

    def died(self, error: IsolateDead) -> None:
        """The isolate was killed, and not by its owner. Pending calls fail with this error."""
