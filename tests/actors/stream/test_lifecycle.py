"""The life of a stream: every step that the design has, and no other."""

from itertools import product

import pytest

from manystream.actors.stream.lifecycle import FINAL, TRANSITIONS, Lifecycle, State

ALLOWED = {
    ("new", "queued"),
    ("queued", "connecting"),
    ("connecting", "streaming"),
    ("connecting", "backoff"),
    ("streaming", "backoff"),
    ("streaming", "done"),
    ("backoff", "queued"),
} | set(product(("new", "queued", "connecting", "streaming", "backoff"), ("failed", "cancelled")))


def at(state: State) -> Lifecycle:
    life = Lifecycle()
    life.state = state
    return life


@pytest.mark.parametrize(("before", "after"), list(product(State, State)), ids=lambda state: state.value)
def test_every_step(before: State, after: State) -> None:
    life = at(before)
    if (before, after) in ALLOWED:
        life.to(after)
        assert life.state is after
    else:
        with pytest.raises(RuntimeError, match=f"from {before} to {after}"):
            life.to(after)
        assert life.state is before


def test_a_stream_begins_as_new() -> None:
    assert Lifecycle().state is State.NEW


def test_every_state_can_be_reached() -> None:
    reached = {State.NEW}
    while (more := reached.union(*(TRANSITIONS[state] for state in reached))) != reached:
        reached = more
    assert reached == set(State)


@pytest.mark.parametrize("state", State)
def test_the_final_states_are_those_without_a_way_out(state: State) -> None:
    assert at(state).ended == (state in FINAL) == (not TRANSITIONS[state])
    assert (state in FINAL) == (state.value in ("done", "failed", "cancelled"))
