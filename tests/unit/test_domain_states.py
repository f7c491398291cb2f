"""The state machine as data: complete, and named without doubt."""

from __future__ import annotations

import pytest

from asyncmqd.domain.states import EDGES, LIVE, TERMINAL, Rank, State, parked_place, state_of


def test_edges_are_found_by_their_own_names() -> None:
    assert all(edge.name == name for name, edge in EDGES.items())
    assert all(name.replace("_", "").isalpha() and name.islower() for name in EDGES)


def test_a_state_is_either_live_or_terminal() -> None:
    assert set(State) == LIVE | TERMINAL
    assert not LIVE & TERMINAL
    assert {state for state in State if state.terminal} == TERMINAL


def test_every_state_can_be_reached_from_a_new_job() -> None:
    reached = {State.WAITING, State.DELAYED, State.BLOCKED}
    while more := {e.target for e in EDGES.values() if e.sources & reached} - reached:
        reached |= more
    assert reached == set(State)


@pytest.mark.parametrize("edge", EDGES.values(), ids=EDGES)
def test_every_edge_starts_somewhere_and_means_something(edge) -> None:
    assert edge.sources
    assert edge.meaning
    assert edge.rank in Rank


def test_only_a_replay_leads_out_of_an_end() -> None:
    assert {e.name for e in EDGES.values() if e.sources & TERMINAL} == {"replay"}


def test_only_a_claim_leads_into_a_run() -> None:
    into = {e.name for e in EDGES.values() if e.target is State.ACTIVE}
    assert into == {"claim", "update"}


def test_each_end_is_reached_in_its_own_way() -> None:
    ends = {state: {e.name for e in EDGES.values() if e.target is state} for state in TERMINAL}
    assert ends == {
        State.COMPLETED: {"succeed"},
        State.FAILED: {"fail", "quarantine"},
        State.EXPIRED: {"expire"},
        State.CANCELLED: {"cancel"},
    }


def test_jobs_that_come_back_without_a_charge_keep_their_place() -> None:
    kept = {name for name, edge in EDGES.items() if edge.rank is Rank.KEPT}
    assert kept == {"release", "park", "recover", "update"}


@pytest.mark.parametrize("task", ["mod.f", "a:b", "", "näme"])
def test_a_parked_place_is_one_of_the_waiting_state(task: str) -> None:
    assert state_of(parked_place(task)) is State.WAITING


@pytest.mark.parametrize("state", State)
def test_a_state_is_a_place(state: State) -> None:
    assert state_of(str(state)) is state
