"""Which command of the table a step of the trace carried out."""

from __future__ import annotations

from typing import Final

from remotejob.domain.start_limits import JOB_EXPIRED
from remotejob.domain.states import Command, State
from tests.simulation.trace import Step

_STEADY: Final = frozenset(
    {
        "own_live_run",
        "cancelled_run",
        "same_mark",
        "owed_by_run",
        "unchanged",
        "not_ended",
        "release_edge",
        "release_paused",
        "relieve",
        "still_own_run",
        "counted_as_crash",
    }
)
"""Changes that leave the state as it is."""

_COMMANDS: Final = {
    "claim_locked": Command.CLAIM,
    "claim_in_company": Command.CLAIM,
    "claim_of_old_task": Command.CLAIM,
    "claim_of_old_task_in_company": Command.CLAIM,
    "release_waiting": Command.UNBLOCK,
    "release_later": Command.UNBLOCK,
    "unpark": Command.UNBLOCK,
    "cascade": Command.CANCEL,
}
"""Of changes that are not named after theirs."""


def command_of(step: Step) -> Command | None:
    """The command a step carried out; None where it moves no job."""
    if step.change in _STEADY:
        return None
    if step.change == "own_run":
        return {State.COMPLETED: Command.COMPLETE, State.READY: Command.RELEASE}.get(
            step.after.state, Command.FAIL
        )
    if step.change in ("same_silent_run", "same_lost_run"):
        missed = bool(step.after.errors) and step.after.errors[-1].kind == JOB_EXPIRED
        return {State.RUNNING: Command.CLAIM, State.WAITING: Command.PARK}.get(
            step.after.state, Command.MISS if missed else Command.EXPIRE
        )
    return _COMMANDS.get(step.change) or Command(step.change)
