"""Prompts: what is asked of an agent, how those that wait become turns, and what is said meanwhile.

submit       a row, which becomes a turn when its branch is free
begin        the first message of a turn: its prompt, and those that waited behind it
steer        words for a turn that runs: a row, and a message before its next request
regenerate   another turn of the same prompt, beside the first
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_ai import messages as m

from facets.agents.errors import BranchTaken, NoSuchMessage, TurnDiffers, TurnOpen

if TYPE_CHECKING:
    from facets.agents.agent import Agent
    from facets.agents.turns import Status, Turn

TIMER = "facets.agents.prompts"
TICK = 0.001
"""Seconds that a timer may be early."""
MERGING = ("merge", "debounce")
"""Values of `Agent.concurrency` with which prompts that wait become one turn."""


def add(agent: Agent, id: str, branch: str, prompt: str, report: str | None) -> list[Turn]:
    """A new turn, unless it is there; those that make way for it."""
    turns = agent._turns
    if turns.find(id) is None and _said(agent, f"{id}:0"):
        raise TurnDiffers(f"turn {id!r} was deleted, and its messages are there", turn=id)
    before = turns.open(branch) if agent.concurrency == "latest" else []
    dropped = agent.concurrency == "drop" and turns.any_open(branch)
    status: Status = "skipped" if dropped else "pending"
    if not turns.add(id, branch, prompt, status, report):
        return []
    if agent.concurrency == "debounce":
        turns.put_off(branch, now(agent) + agent.debounce_seconds)
    return before


def ready(agent: Agent) -> list[str]:
    """Branches whose first open turn can go on. Of those that are put off, a timer tells."""
    first = agent._turns.first()
    later = [one.due or 0.0 for one in first if _put_off(agent, one)]
    if later:
        agent.timers.at(min(later), agent._wake, name=TIMER)
    elif agent.concurrency == "debounce":
        agent.timers.cancel(TIMER)
    return [one.branch for one in first if is_ready(agent, one)]


def is_ready(agent: Agent, turn: Turn) -> bool:
    """Whether a turn that is the first of its branch can go on."""
    return turn.status != "paused" and not _put_off(agent, turn)


def _put_off(agent: Agent, turn: Turn) -> bool:
    return turn.status == "pending" and turn.due is not None and turn.due > now(agent) + TICK


def begin(agent: Agent, turn: Turn) -> Turn:
    """The turn runs, as of this step: its prompt is a message, with those that are one with it."""
    turns, moment = agent._turns, now(agent)
    prompts = [turn.prompt]
    if agent.concurrency in MERGING:
        for one in turns.open(turn.branch):
            if one.id != turn.id:
                turns.update(one.id, status="running", begun=moment, merged=turn.id)
                prompts.append(one.prompt)
    request = m.ModelRequest(parts=[m.UserPromptPart(one) for one in prompts])
    head = agent.session.go_on(request, id=f"{turn.id}:0", branch=turn.branch)
    return turns.update(turn.id, status="running", begun=moment, head=head)


# -- said meanwhile ------------------------------------------------------------------------------


def steer(agent: Agent, turn: Turn, text: str, id: str) -> bool:
    """Keep words for a turn; whether it will hear them, or has."""
    row = agent.sql("select text from agent_words where turn = ? and id = ?", turn.id, id).first()
    if row is not None:
        if row.text != text:
            raise TurnDiffers(f"turn {turn.id!r} was told something else as {id!r}", turn=turn.id)
        return True
    if turn.over or turn.merged is not None or agent._driver.ending(turn.id):
        return False
    agent.sql("insert into agent_words(turn, id, text) values (?, ?, ?)", turn.id, id, text)
    return True


def unheard(agent: Agent, turn: Turn) -> bool:
    """Whether somebody has said something that the model was not told."""
    query = "select 1 from agent_words where turn = ? and heard = 0"
    return agent.sql(query, turn.id).first() is not None


def hear(agent: Agent, turn: Turn) -> Turn:
    """What was said is a message each, in the order in which it came."""
    words = agent.sql(
        "update agent_words set heard = 1 where turn = ? and heard = 0 returning seq, text", turn.id
    )
    for row in sorted(words):
        request = m.ModelRequest.user_text_prompt(row.text)
        name = f"{turn.id}:{turn.steps}:words:{row.seq}"
        head = agent.session.go_on(request, id=name, branch=turn.branch)
        turn = agent._turns.update(turn.id, head=head)
    return turn


# -- after its end -------------------------------------------------------------------------------


def check_over(turn: Turn) -> None:
    """`TurnOpen`."""
    if not turn.over or turn.report is not None:
        raise TurnOpen(f"turn {turn.id!r} is not over, or its parent has not heard", turn=turn.id)


def forget(agent: Agent, turn: Turn) -> None:
    """Delete what is kept of a turn besides its messages."""
    check_over(turn)
    for table in ("agent_approvals", "agent_words"):
        agent.sql.unsafe(f"delete from {table} where turn = ?", turn.id)  # noqa: S608 - ours
    agent._driver.log.forget(turn.id)
    agent._turns.delete(turn.id)


def beside(agent: Agent, turn: Turn, name: str) -> str:
    """Begin a branch where the turn began; the prompt that it began with."""
    check_over(turn)
    first = turn.merged or turn.id
    with_it = agent._turns.merged(first) if turn.merged is None else []
    prompt = "\n\n".join(one.prompt for one in [turn, *with_it])
    start = agent.session.head(turn.branch)
    if _said(agent, f"{first}:0"):
        start = agent.session.get(f"{first}:0").parent
    if start is not None:
        agent.session.fork(start, name)
    elif agent.session.head(name) is not None:
        raise BranchTaken(f"there is a branch {name!r} already", name=name)
    return prompt


def _said(agent: Agent, message: str) -> bool:
    try:
        agent.session.get(message)
    except NoSuchMessage:
        return False
    return True


def now(agent: Agent) -> float:
    """Seconds since 1970."""
    return agent._active().node.host.clock.now()
