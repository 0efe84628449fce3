"""How a scenario is written down, and what its tasks do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from remotejob.domain.errors import RunInterrupted
from remotejob.domain.states import State
from remotejob.submitting import Submission
from remotejob.worker.running import RunningJob
from tests.simulation.world import World

Script = Callable[[World], None]

SCENARIOS: Final[dict[str, Scenario]] = {}
"""By name: those of `life` and of `trouble`, once they are imported."""

JOB: Final = Submission(task="work")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A script, and how its jobs end whatever crashes."""

    play: Script
    ends: State
    or_else: State | None = None
    """How a crash of the manager may let them end."""

    @property
    def ends_after_a_crash(self) -> frozenset[State]:
        return frozenset({self.ends} if self.or_else is None else {self.ends, self.or_else})


def scenario(*, ends: State, or_else: State | None = None) -> Callable[[Script], Script]:
    def register(play: Script) -> Script:
        SCENARIOS[play.__name__] = Scenario(play=play, ends=ends, or_else=or_else)
        return play

    return register


def works(job: RunningJob) -> Any:
    job.progress(1, 2)
    job.log("half of it")
    job.output("made.txt", f"by {job.run_id}".encode())
    return {"run": job.run_id}


def fails(job: RunningJob) -> Any:
    job.output("half.txt", b"not to be seen")
    raise ValueError("this cannot work")


def must_be_over(world: World) -> None:
    """Where nothing has gone wrong, no further help is needed."""
    for record in world.trace.records.values():
        if world.faults.struck is None and (not record.terminal or record.owed):
            world.violations.append(f"1: {record.id} is still {record.state}")


def must_stop(world: World, job: RunningJob, why: type[RunInterrupted]) -> None:
    job.check()
    world.violations.append(f"4: run {job.run_id} goes on; it should have met {why.__name__}")
