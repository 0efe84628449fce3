"""How a scenario is written down, and what its tasks do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from remotejob.domain.errors import RunInterrupted
from remotejob.domain.states import State
from remotejob.jobs.submission.submission import Submission
from remotejob.tasks.running_job import RunningJob
from tests.simulation.world import World

Script = Callable[[World], None]

SCENARIOS: Final[dict[str, Scenario]] = {}
"""By name: those of `life` and of `trouble`, once they are imported."""

JOB: Final = Submission(task="work")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A script, and how its jobs end whatever crashes."""

    play: Script
    ends: tuple[State, ...]
    """In the order they were made, or one for all."""
    or_else: tuple[State, ...] = ()
    """How a crash of a creator or manager may let them end."""

    @property
    def ends_after_a_crash(self) -> frozenset[State]:
        return frozenset({*self.ends, *self.or_else})

    @property
    def ends_after_an_error(self) -> frozenset[State]:
        """An error that a task meets is its own failure, and the end of its dependents."""
        dependents = {State.CANCELLED} if len(self.ends) > 1 else set()
        return self.ends_after_a_crash | {State.FAILED} | dependents


def scenario(
    *ends_in_turn: State, ends: State | None = None, or_else: State | tuple[State, ...] = ()
) -> Callable[[Script], Script]:
    def register(play: Script) -> Script:
        SCENARIOS[play.__name__] = Scenario(
            play=play,
            ends=ends_in_turn if ends is None else (ends,),
            or_else=or_else if isinstance(or_else, tuple) else (or_else,),
        )
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


Part = Callable[[RunningJob], Any]


def by_name(world: World, **parts: Part) -> None:
    """A task that does what its job's name says; one of no part of its own just works."""

    def work(job: RunningJob) -> Any:
        return parts.get(job.data, works)(job)

    world.task(work)


def make(world: World, name: str, **options: Any) -> list[str]:
    """Submit a job of that name; its id, or nothing when the creator met a fault, or does not
    know the jobs that this one depends on because of one."""
    if options.get("depends") == []:
        return []
    return world.submit(Submission(task="work", data=name, **options))


def once(part: Part) -> Part:
    """The first run does it; those after it just work."""
    runs: list[str] = []

    def told(job: RunningJob) -> Any:
        runs.append(job.run_id)
        return part(job) if len(runs) == 1 else works(job)

    return told


def must_be_over(world: World) -> None:
    """Where nothing has gone wrong, no further help is needed."""
    for record in world.trace.records.values():
        if world.faults.struck is None and (not record.terminal or record.owed):
            world.violations.append(f"1: {record.id} is still {record.state}")


def must_stop(world: World, job: RunningJob, why: type[RunInterrupted]) -> None:
    job.check()
    world.violations.append(f"4: run {job.run_id} goes on; it should have met {why.__name__}")
