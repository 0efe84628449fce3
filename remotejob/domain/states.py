"""The life of a job, as one table.

The conditions of the stores, the diagram in the documentation and the model in the tests derive
from `TABLE`, the only place that says which command is allowed when.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from remotejob.domain.errors import CommandRefused


class State(StrEnum):
    """The state of a job. Source: job-collection's seven states."""

    WAITING = "waiting"
    """Waits for its due time, other jobs or its lock; once due and unblocked, for a claim."""

    PAUSED = "paused"
    """Stays until it is resumed."""

    READY = "ready"
    """Submitted to run at once, not yet claimed."""

    RUNNING = "running"
    """Claimed by a worker, under a lease."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Command(StrEnum):
    """What moves a job from one state to another."""

    SUBMIT = "submit"
    UNBLOCK = "unblock"
    CLAIM = "claim"
    PARK = "park"
    EXPIRE = "expire"
    MISS = "miss"
    GIVE_UP = "give_up"
    COMPLETE = "complete"
    FAIL = "fail"
    RELEASE = "release"
    PAUSE = "pause"
    RESUME = "resume"
    MAKE_READY = "make_ready"
    CANCEL = "cancel"
    RESTART = "restart"
    RERUN = "rerun"
    REMOVE = "remove"


class Actor(StrEnum):
    """Who may give a command."""

    CREATOR = "creator"
    WORKER = "worker"
    SCHEDULER = "scheduler"
    MANAGER = "manager"
    CONSEQUENCE = "consequence"
    """The end of another job, by the process that carries it out."""


NOTHING: Final = None
"""Where a job is that does not exist: before `submit`, after `remove`."""

Place = State | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """One row: a command, and the states it leads from and to."""

    command: Command
    sources: tuple[Place, ...]
    targets: tuple[Place, ...]
    actors: tuple[Actor, ...]
    guard: str = ""
    """What must hold in addition to the state; the conditions define it exactly."""


TABLE: Final = (
    Transition(
        command=Command.SUBMIT,
        sources=(NOTHING,),
        targets=(State.READY, State.WAITING, State.PAUSED),
        actors=(Actor.CREATOR,),
        guard="waiting if delayed or dependent; paused if asked",
    ),
    Transition(
        command=Command.UNBLOCK,
        sources=(State.WAITING,),
        targets=(State.WAITING,),
        actors=(Actor.CONSEQUENCE,),
        guard="blocked by jobs or a resource",
    ),
    Transition(
        command=Command.CLAIM,
        sources=(State.READY, State.WAITING, State.RUNNING),
        targets=(State.RUNNING,),
        actors=(Actor.WORKER,),
        guard="due and unblocked, and no unexpired lease",
    ),
    Transition(
        command=Command.PARK,
        sources=(State.READY, State.WAITING, State.RUNNING),
        targets=(State.WAITING,),
        actors=(Actor.WORKER,),
        guard="its lock is held; no unexpired lease",
    ),
    Transition(
        command=Command.EXPIRE,
        sources=(State.RUNNING,),
        targets=(State.FAILED,),
        actors=(Actor.WORKER, Actor.SCHEDULER),
        guard="lease expired, crash budget spent",
    ),
    Transition(
        command=Command.MISS,
        sources=(State.READY, State.WAITING, State.RUNNING),
        targets=(State.FAILED,),
        actors=(Actor.WORKER, Actor.SCHEDULER),
        guard="waits for no other job, no unexpired lease; its last time to begin is over",
    ),
    Transition(
        command=Command.GIVE_UP,
        sources=(State.READY, State.WAITING, State.RUNNING),
        targets=(State.FAILED,),
        actors=(Actor.SCHEDULER,),
        guard="due and unblocked, no unexpired lease; its messages were given up too often",
    ),
    Transition(
        command=Command.COMPLETE,
        sources=(State.RUNNING,),
        targets=(State.COMPLETED,),
        actors=(Actor.WORKER,),
        guard="own run id",
    ),
    Transition(
        command=Command.FAIL,
        sources=(State.RUNNING,),
        targets=(State.WAITING, State.FAILED),
        actors=(Actor.WORKER,),
        guard="own run id; waiting if attempts are left",
    ),
    Transition(
        command=Command.RELEASE,
        sources=(State.RUNNING,),
        targets=(State.READY,),
        actors=(Actor.WORKER,),
        guard="own run id",
    ),
    Transition(
        command=Command.PAUSE,
        sources=(State.WAITING, State.READY),
        targets=(State.PAUSED,),
        actors=(Actor.MANAGER,),
    ),
    Transition(
        command=Command.RESUME,
        sources=(State.PAUSED,),
        targets=(State.WAITING,),
        actors=(Actor.MANAGER,),
    ),
    Transition(
        command=Command.MAKE_READY,
        sources=(State.WAITING,),
        targets=(State.WAITING,),
        actors=(Actor.MANAGER,),
        guard="due at the time given",
    ),
    Transition(
        command=Command.CANCEL,
        sources=(State.WAITING, State.PAUSED, State.READY, State.RUNNING),
        targets=(State.CANCELLED,),
        actors=(Actor.MANAGER, Actor.CONSEQUENCE),
    ),
    Transition(
        command=Command.RESTART,
        sources=(State.FAILED, State.CANCELLED),
        targets=(State.WAITING,),
        actors=(Actor.MANAGER,),
        guard="nothing owed",
    ),
    Transition(
        command=Command.RERUN,
        sources=(State.COMPLETED,),
        targets=(State.COMPLETED,),
        actors=(Actor.CREATOR,),
        guard="makes a new job",
    ),
    Transition(
        command=Command.REMOVE,
        sources=(State.COMPLETED, State.FAILED, State.CANCELLED),
        targets=(NOTHING,),
        actors=(Actor.MANAGER,),
        guard="nothing owed",
    ),
)

_ROWS: Final = {row.command: row for row in TABLE}

TERMINAL: Final = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})
"""The final states of a job."""


def transition(command: Command) -> Transition:
    """The row of a command."""
    return _ROWS[command]


def sources_of(command: Command) -> frozenset[State]:
    """The states in which a command is allowed."""
    return frozenset(place for place in _ROWS[command].sources if place is not NOTHING)


CANCELLABLE: Final = sources_of(Command.CANCEL)
"""States a job can be cancelled in. Source: job-collection, `Job.jobStatusCancellable`."""

PAUSABLE: Final = sources_of(Command.PAUSE)
"""Source: job-collection, `Job.jobStatusPausable`."""

REMOVABLE: Final = sources_of(Command.REMOVE)
"""Source: job-collection, `Job.jobStatusRemovable`."""

RESTARTABLE: Final = sources_of(Command.RESTART)
"""Source: job-collection, `Job.jobStatusRestartable`."""


def allows(command: Command, state: Place) -> bool:
    return state in _ROWS[command].sources


def moves(command: Command, source: Place, target: Place) -> bool:
    """Whether the table has this step."""
    row = _ROWS[command]
    return source in row.sources and target in row.targets


def check(command: Command, *, job_id: str, state: State) -> None:
    """Refuse a command the state does not allow.

    Raises: CommandRefused, naming the states that do.
    """
    if not allows(command, state):
        raise CommandRefused(command, job_id=job_id, state=state, allowed=sources_of(command))


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2"]
    for row in TABLE:
        for source in row.sources:
            for target in row.targets:
                arrow = f"{source or '[*]'} --> {target or '[*]'}"
                lines.append(f"    {arrow}: {row.command}")
    return "\n".join(lines) + "\n"
