"""When the status changes, and what is told of it."""

from __future__ import annotations

import pytest

from lsp.status.status import State, Status, StatusBoard


@pytest.fixture
def told() -> list[Status]:
    return []


@pytest.fixture
def board(told: list[Status]) -> StatusBoard:
    return StatusBoard(told.append)


def test_changes_are_told_and_repetitions_are_not(board: StatusBoard, told: list[Status]) -> None:
    board.set(State.STARTING)
    board.set(State.READY, model="starter")
    board.set(State.READY)
    assert [(each.state, each.model) for each in told] == [(State.STARTING, ""), (State.READY, "starter")]


def test_a_request_makes_a_ready_engine_busy_and_its_latency_comes_with_the_end(
    board: StatusBoard, told: list[Status]
) -> None:
    board.set(State.READY)
    with board.busy(), board.busy():
        board.measured(12.34)
    assert [each.to_wire()["state"] for each in told] == ["ready", "busy", "busy", "ready"]
    assert told[-1].to_wire()["latencyMs"] == 12.3


def test_a_request_to_a_lost_engine_does_not_hide_the_loss(board: StatusBoard, told: list[Status]) -> None:
    board.set(State.READY)
    with board.busy():
        board.set(State.OFFLINE, "gone")
    assert [each.state for each in told] == [State.READY, State.BUSY, State.OFFLINE]
    assert told[-1].message == "gone"


def test_success_ends_a_complaint(board: StatusBoard) -> None:
    board.set(State.ERROR, "temperature = 9")
    board.proven()
    assert board.current.state is State.READY
    assert board.current.message == ""


def test_an_exclusion_never_hides_what_the_engine_does(board: StatusBoard, told: list[Status]) -> None:
    board.set(State.STARTING)
    board.exclude(".env is excluded")
    board.set(State.READY)
    assert (board.current.state, board.current.message) == (State.EXCLUDED, ".env is excluded")
    board.set(State.OFFLINE, "gone")
    assert (board.current.state, board.current.message) == (State.OFFLINE, "gone")
    board.exclude(None)
    board.set(State.READY)
    assert [each.state for each in told] == [State.STARTING, State.EXCLUDED, State.OFFLINE, State.READY]


def test_the_status_can_be_told_again(board: StatusBoard, told: list[Status]) -> None:
    board.set(State.READY)
    board.repeat()
    assert len(told) == 2
