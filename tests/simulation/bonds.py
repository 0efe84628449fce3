"""What must hold between jobs: of one resource or tenant, dependent on each other, repeated.

Read from the steps in the order they took effect. The numbers are those of the design's list of
invariants.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from remotejob.domain.dependencies import EDGES
from remotejob.domain.locks import SLOTS, WAITERS, limits_of
from remotejob.domain.record import JobRecord
from remotejob.domain.repeat import Repeat
from remotejob.domain.states import TERMINAL, Command, State
from remotejob.names import Field
from tests.simulation.steps import command_of
from tests.simulation.trace import SUBMIT, Step
from tests.simulation.world import World

_IN_VAIN = (State.FAILED, State.CANCELLED)


@dataclass
class _Replay:
    """The jobs as they were at a step, those that were removed included."""

    skew_ms: int
    jobs: dict[str, JobRecord] = field(default_factory=dict)

    def follow(self, step: Step) -> None:
        self.jobs[step.after.id] = step.after


def between_jobs(world: World) -> Iterator[str]:
    """What does not hold."""
    replay = _Replay(world.skew_ms)
    made = [step.after for step in world.trace.steps if step.change == SUBMIT]
    for step in world.trace.steps:
        command = command_of(step)
        if command is Command.CLAIM or step.change == "own_live_run":
            yield from _alone(step, replay)
        if command is Command.CLAIM:
            yield from _after_antecedents(step, replay)
        if _has_a_successor(step, command):
            yield from _repeated(step, made)
        if command in (Command.SUBMIT, Command.RESTART):
            yield from _waits_for_what_ended(step, replay)
        if step.change == "cascade":
            yield from _rightly_cancelled(step, replay)
        replay.follow(step)
    yield from _in_the_end(world, replay, made)


def _in_the_end(world: World, replay: _Replay, made: list[JobRecord]) -> Iterator[str]:
    for record in replay.jobs.values():
        yield from _nothing_else_made_of_it(record, made)
        if record.id not in world.trace.removed:
            yield from _shares_the_end(record, replay.jobs)
        if not world.message_lost:
            yield from _left_behind(record, world)


def _alone(step: Step, replay: _Replay) -> Iterator[str]:
    """No more runs hold a lock, under live leases, than it has slots."""
    for limit in limits_of(step.after):
        live = [
            other.id
            for other in replay.jobs.values()
            if other.id != step.after.id
            and limit.partition in [one.partition for one in limits_of(other)]
            and other.lease_ms is not None
            and other.lease_ms + replay.skew_ms > step.at_ms
        ]
        if len(live) >= limit.slots:
            yield f"5: {step} of {step.after.id} at {limit.partition} while these run: {live}"


def _after_antecedents(step: Step, replay: _Replay) -> Iterator[str]:
    for job_id in step.after.depends:
        if replay.jobs[job_id].state is not State.COMPLETED:
            yield f"6: {step.after.id} begins, {job_id} is {replay.jobs[job_id].state}"


def _waits_for_what_ended(step: Step, replay: _Replay) -> Iterator[str]:
    for job_id in step.after.blocked or ():
        if replay.jobs[job_id].state in TERMINAL:
            yield f"6: {step.after.id} waits for {job_id}, which has ended: who would tell it?"


def _rightly_cancelled(step: Step, replay: _Replay) -> Iterator[str]:
    antecedent = replay.jobs[str(step.values["antecedent"])]
    if step.before is None or antecedent.id not in (step.before.blocked or ()):
        yield f"6: {step.after.id} is cancelled for {antecedent.id}, which it does not wait for"
    if antecedent.state not in _IN_VAIN:
        yield f"6: {step.after.id} is cancelled, for {antecedent.id} is {antecedent.state}"


def _shares_the_end(record: JobRecord, jobs: Mapping[str, JobRecord]) -> Iterator[str]:
    for job_id in record.depends:
        if jobs[job_id].state in _IN_VAIN and record.state is not State.CANCELLED:
            yield f"6: {record.id} is {record.state}, {job_id} is {jobs[job_id].state}"


def _has_a_successor(step: Step, command: Command | None) -> bool:
    """Whether it is an end after which the next time is made. A command makes none."""
    if command is Command.FAIL or step.change == "cascade":
        repeat = step.after.repeat_json
        stops = repeat is not None and Repeat.from_json(repeat).on_failure == "stop"
        return step.after.state in TERMINAL and not stops
    return command in (Command.COMPLETE, Command.EXPIRE)


def _repeated(step: Step, made: list[JobRecord]) -> Iterator[str]:
    record = step.after
    successors = [one for one in made if one.origin_id == record.id]
    # repeats in these tests have no schedule, and only a count to end them
    repeat = None if record.repeat_json is None else Repeat.from_json(record.repeat_json)
    if repeat is None or repeat.times == 0:
        if record.next_id is not None or successors:
            yield f"9: {record.id} is repeated without being asked to"
        return
    if [one.id for one in successors] != [record.next_id]:
        yield f"9: {record.id} names {record.next_id} and is repeated by {successors}"
        return
    (following,) = successors
    left = Repeat.from_json(following.repeat_json or "")
    if repeat.times is not None and left.times != repeat.times - 1:
        yield f"9: {left.times} repeats left of {repeat.times}"
    if (following.data_json, following.resource) != (record.data_json, record.resource):
        yield f"9: {following} is not like {record}"


def _nothing_else_made_of_it(record: JobRecord, made: list[JobRecord]) -> Iterator[str]:
    successors = [one.id for one in made if one.origin_id == record.id]
    if successors != ([] if record.next_id is None else [record.next_id]):
        yield f"9: {record.id} names {record.next_id} and is repeated by {successors}"


def _left_behind(record: JobRecord, world: World) -> Iterator[str]:
    """Locks held by nobody, waiters of jobs that do not wait, edges nobody followed."""
    for limit in limits_of(record):
        for name, item in world.observer.items(limit.partition, SLOTS):
            yield f"5: {limit.partition} {name} is still held by {item[Field.JOB]}"
        for name, _item in world.observer.items(limit.partition, WAITERS):
            yield f"{limit.partition}: {name} is still there"
    if record.state in TERMINAL:
        for name, item in world.observer.items(record.id, EDGES):
            if Field.SPENT not in item:
                yield f"6: {record.id} is {record.state}, {name} was not followed"
