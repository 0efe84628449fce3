"""What must hold after whatever happened, once nothing is left to do.

The numbers are those of the design's list of invariants.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from remotejob.domain.claim_decisions import CLOCK_SKEW, LOST_LEASE_BUDGET, crash_budget
from remotejob.domain.marks import Attention
from remotejob.domain.record import ERRORS_KEPT, JobRecord, output_prefix, outputs_from_json
from remotejob.domain.start_limits import last_start_ms
from remotejob.domain.states import TERMINAL, Command, State, moves
from remotejob.domain.times import span_ms
from remotejob.domain.transactions import number
from remotejob.names import RESERVED_OUTPUT_PREFIX
from remotejob.ports import Address, Area, Channel
from tests.simulation.bonds import between_jobs
from tests.simulation.steps import command_of
from tests.simulation.trace import SUBMIT, Step
from tests.simulation.world import World, held_up

DEAD_LETTERS: Final = Address("default", Channel.DEAD_LETTER)


def check_invariants(world: World) -> None:
    """Raises: AssertionError, naming every invariant that does not hold, and where."""
    problems = list(_problems(world))
    assert not problems, "\n".join(problems)


def _problems(world: World) -> Iterator[str]:
    yield from world.violations
    yield from between_jobs(world)
    for job_id, record in world.trace.records.items():
        steps = world.trace.of(job_id)
        for problem in (
            *_history(steps, world.skew_ms),
            *_counts(steps, record, world),
            *_at_rest(record, world),
            *_outputs(record, world),
            *_status(record, world),
        ):
            yield _in_full(problem, steps)
    yield from _removed(world)
    yield from _promises(world)
    yield from _told_of_no_end(world)
    aside = [json.loads(body) for body in world.bodies(DEAD_LETTERS)]
    for body in world.nonsense:
        if not any(letter["body"] == body and letter["reason"] for letter in aside):
            yield f"14: {body!r} was not set aside with the reason"
    if pending := world.pending():
        yield f"messages are left that nobody needs: {pending}"


def _removed(world: World) -> Iterator[str]:
    for job_id in sorted(world.trace.removed):
        steps = world.trace.of(job_id)
        for problem in (
            *_history(steps, world.skew_ms),
            *_status(steps[-1].after, world),
            *_cleared(steps[-1].after, world),
        ):
            yield _in_full(problem, steps)


def _told_of_no_end(world: World) -> Iterator[str]:
    ends = {(step.after.id, str(step.after.state), step.after.run_id) for step in world.trace.steps}
    for channel in (Channel.COMPLETED, Channel.FAILED):
        for body in world.bodies(Address("default", channel)):
            told = json.loads(body)
            ended = State(told["state"]) in TERMINAL
            if not ended or (told["id"], told["state"], told["run"]) not in ends:
                yield f"13: a status message tells of an end that was none: {body}"


def _promises(world: World) -> Iterator[str]:
    made = {step.after.id for step in world.trace.steps if step.change == SUBMIT}
    for job_id in world.promised:
        if job_id not in made:
            yield f"1: {job_id} was submitted and is not stored"
    uploaded, versions = len(made & set(world.uploads)), len(set(world.uploads.values()))
    if uploaded != versions:
        yield f"8: {uploaded} jobs of {versions} uploaded versions"


def _in_full(problem: str, steps: list[Step]) -> str:
    return f"{steps[0].after.id}: {problem}\n    " + "\n    ".join(map(str, steps))


def _history(steps: list[Step], skew_ms: int) -> Iterator[str]:
    last: JobRecord | None = None
    for step in steps:
        before, after, command = step.before, step.after, command_of(step)
        if before != last:
            yield f"12: {step} began from a record that no step had made"
        last = after
        if command is None:
            if before is None or before.state is not after.state:
                yield f"12: {step} changes the state"
        elif not moves(command, None if before is None else before.state, step.target):
            yield f"12: no row of the table allows {step}"
        if before is not None:
            yield from _one_step(step, before, command, skew_ms)


def _one_step(
    step: Step, before: JobRecord, command: Command | None, skew_ms: int
) -> Iterator[str]:
    if step.after.updated_ms < before.updated_ms:
        yield f"12: {step} sets the time back"
    if "seen_run" in step.values and step.values["seen_run"] != before.run_id:
        yield f"2: {step} decided on another run than it ended"
    if "run" in step.values and step.values["run"] != before.run_id:
        yield f"2: {step} by a run that is not the current one"
    # by the time it was asked for: one that is long on its way finds out whether it is too late
    if step.change == "own_live_run" and (before.lease_ms or 0) < number(step.values["now"]):
        yield f"4: {step} revived a lease that had ended"
    if step.removed and (before.lease_ms or 0) + skew_ms > step.at_ms:
        yield f"4: {step} while a run of it was live"
    if command is Command.CLAIM:
        yield from _claim(step, before, skew_ms)
    if command in (Command.FAIL, Command.EXPIRE):
        yield from _failure(step, before, command)
    if command is Command.MISS:
        yield from _missed(step, before)
    if "own_run" in step.values:
        yield from _put_right(step, before)


def _put_right(step: Step, before: JobRecord) -> Iterator[str]:
    """A worker that lost its lease may change how its run is counted and say so, nothing else."""
    counted = replace(
        step.after,
        lost_run=before.lost_run,
        crashes=before.crashes,
        crashed_runs=before.crashed_runs,
        lost_leases=before.lost_leases,
        history=before.history,
    )
    known, told = before.history or frozenset(), step.after.history or frozenset()
    if counted != before or not told >= known:
        yield f"4: {step} by a worker that lost its lease"


def _claim(step: Step, before: JobRecord, skew_ms: int) -> Iterator[str]:
    if step.after.run_id == before.run_id:
        yield f"2: {step} under a run id used before"
    if before.lease_ms is not None and before.lease_ms + skew_ms > step.at_ms:
        yield f"4: {step} under a lease that lasts {before.lease_ms - step.at_ms} ms more"
    if before.blocked or before.parked:
        yield f"6: {step} while it waited for others, or for a lock"
    last = last_start_ms(before)
    if last is not None and last + skew_ms < _asked_at_ms(step):
        yield f"7: {step} after its last time to begin"
    if before.state is State.WAITING and (before.due_ms or 0) > step.at_ms + skew_ms:
        yield f"7: {step} before it was due"


def _asked_at_ms(step: Step) -> int:
    """When the worker asked for the claim, by its own clock: it may take effect later."""
    if "now" in step.values:
        return number(step.values["now"])
    return number(step.values["lapsed"]) + span_ms(CLOCK_SKEW)


def _failure(step: Step, before: JobRecord, command: Command) -> Iterator[str]:
    kept, last = step.after.errors[:-1], step.after.errors[-1]
    if kept != before.errors[-(ERRORS_KEPT - 1) :] or last.run_id != before.run_id:
        yield f"2: {step} lost the failures before it"
    counted = "LeaseLost" if before.lost else "WorkerDied"
    if command is Command.EXPIRE and last.kind != counted:
        yield f"10: {step} does not say {counted}"


def _missed(step: Step, before: JobRecord) -> Iterator[str]:
    last = last_start_ms(before)
    if last is None or last >= step.at_ms:
        yield f"1: {step} before its last time to begin was over"
    if step.after.errors[:-1] != before.errors[-(ERRORS_KEPT - 1) :]:
        yield f"2: {step} lost the failures before it"


def _counts(steps: list[Step], record: JobRecord, world: World) -> Iterator[str]:
    commands = Counter(command_of(step) for step in steps)
    ends = sum(command_of(step) is not None and step.after.state in TERMINAL for step in steps)
    if ends > 1 + commands[Command.RESTART]:
        yield f"2: ended {ends} times"
    if commands[Command.SUBMIT] > 1 or steps[0].change != SUBMIT:
        yield "8: stored more than once, or by something else than a submit"
    if record.attempt != commands[Command.CLAIM] - commands[Command.RELEASE]:
        yield f"10: attempt {record.attempt} after {commands[Command.CLAIM]} claims"
    yield from _counts_of_this_life(steps, record, world)


def _counts_of_this_life(steps: list[Step], record: JobRecord, world: World) -> Iterator[str]:
    """A restart begins with nothing on its account."""
    began = max(
        (n for n, step in enumerate(steps) if command_of(step) is Command.RESTART), default=0
    )
    steps = steps[began:]
    commands = Counter(command_of(step) for step in steps)
    if record.failures != commands[Command.FAIL]:
        yield f"10: {record.failures} failures counted of {commands[Command.FAIL]}"
    policy = record.retry or world.tasks[record.task].retry if record.task in world.tasks else None
    allowed = None if policy is None else policy.max_attempts
    if allowed is not None and record.failures > allowed:
        yield f"10: {record.failures} failed attempts, {allowed} allowed"
    changes = Counter(step.change for step in steps)
    deaths = changes["same_silent_run"] - changes["counted_as_crash"]
    began = commands[Command.CLAIM] - commands[Command.RELEASE]
    if record.at_most_once and began > 1 + record.failures:
        yield f"10: began {began} times, and must not run again"
    if record.crashes != deaths or record.crashes > crash_budget(record):
        yield f"10: {record.crashes} crashes counted of {deaths}"
    lost_leases = changes["same_lost_run"] + changes["counted_as_crash"]
    if record.lost_leases != lost_leases or record.lost_leases > LOST_LEASE_BUDGET:
        yield f"10: {record.lost_leases} lost leases counted of {lost_leases}"
    if record.releases != commands[Command.RELEASE]:
        yield f"10: {record.releases} releases counted of {commands[Command.RELEASE]}"


def _at_rest(record: JobRecord, world: World) -> Iterator[str]:
    if record != world.observer.get(record.id):
        yield "12: the record was changed past the ports"
    if held_up(record, world.trace.records):
        return
    if not record.terminal and record.state is not State.PAUSED:
        yield f"1: still {record.state} at the end of all time"
    if record.owed is not None:
        yield f"13: still owes {record.owed}"
    if record.terminal and record.expires_s is None:
        yield "13: ended, and will never expire"
    if record.attention is not None and record.attention.split("#")[0] in Attention.ACTED_ON:
        yield f"still marked {record.attention}"


def _outputs(record: JobRecord, world: World) -> Iterator[str]:
    if record.state is not State.COMPLETED:
        if record.outputs_json or record.outputs_ref or record.result_json or record.result_ref:
            yield "3: lists outputs or a result without being completed"
        return
    assert record.run_id is not None
    prefix = output_prefix(queue=record.queue, job_id=record.id, run_id=record.run_id)
    listed = (
        {file.key for file in outputs_from_json(record.outputs_json, prefix=prefix)}
        if record.outputs_json
        else set()
    )
    made = {
        key
        for key in world.trace.outputs
        if key.startswith(prefix) and not key.startswith(prefix + RESERVED_OUTPUT_PREFIX)
    }
    if listed != made:
        yield f"3: lists {sorted(listed)}, its run made {sorted(made)}"
    if listed:
        stored = set(world.base.files.keys(Area.OUTPUT, prefix))
        if not listed <= stored:
            yield f"3: lists {sorted(listed - stored)}, which are not there"


def _cleared(record: JobRecord, world: World) -> Iterator[str]:
    """What a removed job leaves behind: nothing."""
    left = [
        *world.observer.notes(record.id, "failure#"),
        *world.observer.notes(record.id, "log#"),
        *world.base.files.keys(Area.OUTPUT, f"{record.queue}/{record.id}/"),
    ]
    if left and world.faults.struck is None:
        yield f"removed, and left behind {left}"


def _status(record: JobRecord, world: World) -> Iterator[str]:
    if not record.terminal or record.id in world.unannounced:
        return
    completed = record.state is State.COMPLETED
    channel = Channel.COMPLETED if completed else Channel.FAILED
    told = [json.loads(body) for body in world.bodies(Address(record.queue, channel))]
    if not any(
        status["id"] == record.id
        and status["state"] == record.state
        and status["run"] == record.run_id
        for status in told
    ):
        yield f"13: no status message says that it is {record.state}"
