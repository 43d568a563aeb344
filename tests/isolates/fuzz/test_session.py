"""Whatever a guest says, its session answers or kills it: no other exception, and nothing hangs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facets.isolates import Limits
from facets.isolates.errors import IsolateDead, ProtocolViolation
from tests.isolates.fuzz import EXAMPLES, grammar, scripted
from tests.isolates.fuzz.scripted import Played, Say, play, play_in_turn

pytestmark = pytest.mark.timeout(300 + EXAMPLES)
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
says = st.builds(Say, grammar.frames, st.lists(grammar.spoken, max_size=2).map(tuple))
noises = st.builds(
    Say,
    st.one_of(st.binary(max_size=40), grammar.torn(grammar.frames)),
    st.lists(st.one_of(st.binary(max_size=20), grammar.torn(grammar.spoken)), max_size=1).map(
        tuple
    ),
)


@fuzz
@given(st.lists(says, min_size=1, max_size=4), st.booleans())
def test_structured_lies_end_in_an_answer_or_a_kill(script: list[Say], streams: bool) -> None:
    played = play(script, streams=streams)
    assert played.killed is None or isinstance(played.killed, IsolateDead)
    assert len(played.owner.deaths) == (played.killed is not None)


@fuzz
@given(st.lists(noises, min_size=1, max_size=3), st.booleans())
def test_noise_ends_in_an_answer_or_a_kill(script: list[Say], streams: bool) -> None:
    played = play(script, streams=streams)
    assert played.killed is None or isinstance(played.killed, IsolateDead)


def summary(played: Played) -> list[Any]:
    """What a script came to, without what differs from run to run."""
    said = [*played.outcomes, played.killed]
    shown = [f"{type(one).__name__}: {one}" if isinstance(one, Exception) else one for one in said]
    return [re.sub("0x[0-9a-f]+", "", repr(shown)), played.owner.events, played.puppet.answers]


@fuzz
@given(st.lists(says, min_size=1, max_size=3), st.booleans())
def test_it_makes_no_difference_where_a_message_is_read(script: list[Say], streams: bool) -> None:
    on_a_thread = play_in_turn(script, streams=streams, large=-1)
    assert summary(on_a_thread) == summary(play_in_turn(script, streams=streams))


READY: dict[str, Any] = {
    "methods": {"run": "call"}, "exclusive": [], "migrations": [], "hooks": [], "plain": [],
}  # fmt: skip
answers = st.one_of(
    st.builds(
        lambda tag, said, extra: grammar.frame([tag, READY | said, *extra], None),
        st.sampled_from(["ready", "err", "code", 5]),
        st.dictionaries(
            st.sampled_from([*READY, "type", "message", "traceback"]), grammar.values, max_size=3
        ),
        st.lists(grammar.data, max_size=1),
    ),
    grammar.torn(grammar.frames),
    st.binary(max_size=30),
)


@fuzz
@given(answers)
def test_a_lie_about_what_was_loaded_is_an_error_of_the_load(boot: bytes) -> None:
    play([], boot=boot)


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is long has to be refused for something else than its length."""
    monkeypatch.setattr(scripted, "LIMITS", Limits())


@pytest.mark.parametrize(
    "word", [["sleep", 1], ["again"], ["cancel", 1], ["more", 1, 1], ["drop", []]]
)
@pytest.mark.usefixtures("roomy")
def test_words_that_ask_for_nothing_have_an_end(word: list[Any]) -> None:
    called = ["call", 1, 0, "plain", [], {}, 1]
    few, many = ([called, *[word] * n] for n in (1000, 20_000))

    assert play([Say(grammar.frame(few, None))]).killed is None
    assert isinstance(play([Say(grammar.frame(many, None))]).killed, ProtocolViolation)


@pytest.mark.parametrize("name", ["methods", "migrations", "plain"])
def test_what_was_loaded_has_so_many_names_at_most(name: str) -> None:
    names = [f"n{i}" for i in range(20_000)]
    said = READY | {name: dict.fromkeys(names, "call") if name == "methods" else names}

    assert isinstance(
        play([], boot=grammar.frame(["ready", said], None)).outcomes[0], ProtocolViolation
    )


@pytest.mark.usefixtures("roomy")
def test_an_error_has_so_many_classes_and_fields_at_most() -> None:
    said = {
        "type": "Own", "message": "m", "kinds": [[1] * 10, *["ValueError"] * 100_000],
        "fields": {f"f{i}": i for i in range(100_000)},
    }  # fmt: skip
    (error, _) = play([Say(grammar.frame([["err", 1, said]], None))]).outcomes

    assert isinstance(error, ValueError)
    assert len([name for name in error.fields if name[1:].isdigit()]) <= 32
