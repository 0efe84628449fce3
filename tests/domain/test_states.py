"""The state table: what is allowed, what is refused, and the diagram of it."""

from __future__ import annotations

import itertools

import pytest

from remotejob import CommandRefused
from remotejob.domain.states import (
    NOTHING,
    TABLE,
    TERMINAL,
    Command,
    Place,
    State,
    allows,
    check,
    diagram,
    moves,
    sources_of,
    transition,
)

W, P, R, X = State.WAITING, State.PAUSED, State.READY, State.RUNNING
C, F, N = State.COMPLETED, State.FAILED, State.CANCELLED
PLACES: tuple[Place, ...] = (NOTHING, *State)

# The design's table, written out a second time on purpose: a row that changes must change twice.
EXPECTED: dict[Command, tuple[set[Place], set[Place]]] = {
    Command.SUBMIT: ({NOTHING}, {R, W, P}),
    Command.UNBLOCK: ({W}, {W}),
    Command.CLAIM: ({R, W, X}, {X}),
    Command.PARK: ({R, W, X}, {W}),
    Command.EXPIRE: ({X}, {F}),
    Command.MISS: ({R, W, X}, {F}),
    Command.GIVE_UP: ({R, W, X}, {F}),
    Command.COMPLETE: ({X}, {C}),
    Command.FAIL: ({X}, {W, F}),
    Command.RELEASE: ({X}, {R}),
    Command.PAUSE: ({W, R}, {P}),
    Command.RESUME: ({P}, {W}),
    Command.MAKE_READY: ({W}, {W}),
    Command.CANCEL: ({W, P, R, X}, {N}),
    Command.RESTART: ({F, N}, {W}),
    Command.RERUN: ({C}, {C}),
    Command.REMOVE: ({C, F, N}, {NOTHING}),
}
PAIRS = list(itertools.product(Command, PLACES))
STEPS = list(itertools.product(Command, PLACES, PLACES))


def test_every_command_has_one_row() -> None:
    assert sorted(row.command for row in TABLE) == sorted(Command)
    assert {row.command: row for row in TABLE} == {
        command: transition(command) for command in Command
    }


@pytest.mark.parametrize(("command", "place"), PAIRS)
def test_a_command_is_allowed_where_the_table_says(command: Command, place: Place) -> None:
    assert allows(command, place) is (place in EXPECTED[command][0])


@pytest.mark.parametrize("command", Command)
def test_a_command_moves_only_as_the_table_says(command: Command) -> None:
    sources, targets = EXPECTED[command]
    made = {
        (source, target)
        for source, target in itertools.product(PLACES, PLACES)
        if moves(command, source, target)
    }
    assert made == set(itertools.product(sources, targets))


@pytest.mark.parametrize(("command", "state"), list(itertools.product(Command, State)))
def test_check_refuses_what_the_table_does_not_allow(command: Command, state: State) -> None:
    allowed = EXPECTED[command][0] - {NOTHING}
    if state in allowed:
        check(command, job_id="J", state=state)
        return
    with pytest.raises(CommandRefused) as refusal:
        check(command, job_id="J", state=state)
    message = str(refusal.value)
    assert message.startswith(f"cannot {command} job J: it is {state}; ")
    *others, last = sorted(str(one) for one in allowed) or ["none"]
    named = f"{', '.join(others)} or {last}" if others else last
    assert message.endswith(f"{command} is allowed when it is {named}")


@pytest.mark.parametrize("command", Command)
def test_sources_are_states_and_not_nothing(command: Command) -> None:
    assert sources_of(command) == EXPECTED[command][0] - {NOTHING}


def test_nothing_leaves_a_terminal_state_but_what_a_person_asks_for() -> None:
    leaving = {row.command for row in TABLE if TERMINAL & set(row.sources)}
    assert leaving == {Command.RESTART, Command.RERUN, Command.REMOVE}


def test_every_state_is_reached_and_left() -> None:
    assert {target for row in TABLE for target in row.targets} == set(PLACES)
    assert {source for row in TABLE for source in row.sources} == set(PLACES)


def test_every_row_names_who_may_give_the_command() -> None:
    assert all(row.actors for row in TABLE)


def test_the_diagram_lists_each_step_of_the_table_once() -> None:
    first, *lines = diagram().splitlines()

    assert first == "stateDiagram-v2"
    drawn = [line.strip() for line in lines]
    assert sorted(drawn) == sorted(
        f"{source or '[*]'} --> {target or '[*]'}: {command}"
        for command, source, target in STEPS
        if source in EXPECTED[command][0] and target in EXPECTED[command][1]
    )
