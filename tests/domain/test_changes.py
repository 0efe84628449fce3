"""Changes move a job only as the table says, whatever state they meet."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from remotejob.backends.memory import MemoryStore
from remotejob.domain import command_changes, given_up, run_changes
from remotejob.domain.changes import Change
from remotejob.domain.record import JobRecord
from remotejob.domain.states import Command, State, allows, moves, sources_of
from remotejob.ports import Refused, Updated
from remotejob.testing.conformance import catalogue, samples
from remotejob.testing.conformance.samples import LEASE, NOW, OTHER_RUN, RUN, SKEW

Build = Callable[[JobRecord], Change]
FAILURE = samples.failure()


def _claim(record: JobRecord) -> Change:
    return run_changes.claim(
        record.id,
        task=record.task,
        queue=record.queue,
        run_id=OTHER_RUN,
        worker="w2",
        now_ms=NOW,
        stamp_ms=NOW,
        lease_ms=LEASE,
        skew_ms=SKEW,
    )


def _reclaim(record: JobRecord) -> Change:
    return run_changes.reclaim(
        record, run_id=OTHER_RUN, worker="w2", now_ms=NOW, lease_ms=LEASE, skew_ms=SKEW
    )


def _miss(record: JobRecord) -> Change:
    return catalogue.miss(replace(record, start_by_ms=NOW - SKEW - 1))


def _expire(record: JobRecord) -> Change:
    return run_changes.expire(record, now_ms=NOW, skew_ms=SKEW)


def _give_up(record: JobRecord) -> Change:
    return given_up.give_up(record, why="no worker", now_ms=NOW, skew_ms=SKEW)


def _complete(record: JobRecord) -> Change:
    return run_changes.complete(record, now_ms=NOW, retention_ms=0, report={})


def _fail_for_good(record: JobRecord) -> Change:
    return run_changes.fail_for_good(record, FAILURE, now_ms=NOW, report={})


def _fail_and_wait(record: JobRecord) -> Change:
    return run_changes.fail_and_wait(
        record, FAILURE, now_ms=NOW, due_ms=NOW, mark_ms=NOW, report={}
    )


def _release(record: JobRecord) -> Change:
    return run_changes.release(record, now_ms=NOW, report={})


def _claim_locked(record: JobRecord) -> Change:
    return catalogue.claim_locked(replace(record, resource="scanner"))


def _resume(record: JobRecord) -> Change:
    return command_changes.resume(record, now_ms=NOW)


def _pause(record: JobRecord) -> Change:
    return command_changes.pause(record, now_ms=NOW)


def _make_ready(record: JobRecord) -> Change:
    return command_changes.make_ready(record, due_ms=NOW, now_ms=NOW)


def _cancel(record: JobRecord) -> Change:
    return command_changes.cancel(record, now_ms=NOW)


def _restart(record: JobRecord) -> Change:
    return command_changes.restart(record, now_ms=NOW)


BUILDERS: dict[str, tuple[Command, Build, bool]] = {
    "claim": (Command.CLAIM, _claim, True),
    "reclaim": (Command.CLAIM, _reclaim, True),
    "expire": (Command.EXPIRE, _expire, True),
    "miss": (Command.MISS, _miss, True),
    "give_up": (Command.GIVE_UP, _give_up, True),
    "complete": (Command.COMPLETE, _complete, False),
    "fail_for_good": (Command.FAIL, _fail_for_good, False),
    "fail_and_wait": (Command.FAIL, _fail_and_wait, False),
    "release": (Command.RELEASE, _release, False),
    "claim_locked": (Command.CLAIM, _claim_locked, True),
    "park": (Command.PARK, catalogue.parked, True),
    "pause": (Command.PAUSE, _pause, False),
    "resume": (Command.RESUME, _resume, False),
    "make_ready": (Command.MAKE_READY, _make_ready, False),
    "cancel": (Command.CANCEL, _cancel, False),
    "restart": (Command.RESTART, _restart, False),
}
"""By name: the command it carries out, how to build it, and whether its guard wants the lease
lapsed."""

# A claim meets a running job under the run id it read, which is a change of its own.
TAKES = {
    "claim": {State.READY, State.WAITING},
    "claim_locked": {State.READY, State.WAITING},
    "reclaim": {State.RUNNING},
}


def _met(state: State, *, lapsed: bool) -> JobRecord:
    """A record of that state on which the guards besides the state hold."""
    record = replace(samples.in_state(state), owed=None)
    lease = NOW - SKEW if lapsed else NOW + LEASE
    return replace(record, run_id=RUN, due_ms=NOW, lease_ms=lease)


@pytest.mark.parametrize(("name", "state"), list(itertools.product(BUILDERS, State)))
def test_a_change_is_made_from_the_states_the_table_allows(name: str, state: State) -> None:
    command, build, lapsed = BUILDERS[name]
    before = _met(state, lapsed=lapsed)
    store = MemoryStore()
    store.put_new(before)

    outcome = store.update(build(before))

    allowed = state in TAKES.get(name, sources_of(command))
    if allowed:
        assert isinstance(outcome, Updated)
        assert moves(command, state, outcome.record.state)
    else:
        assert outcome == Refused(before)


def test_the_two_claims_together_take_every_state_the_table_allows() -> None:
    assert TAKES["claim"] | TAKES["reclaim"] == sources_of(Command.CLAIM)


@pytest.mark.parametrize(
    ("name", "state"),
    [
        (name, state)
        for name, state in itertools.product(BUILDERS, State)
        if allows(BUILDERS[name][0], state)
    ],
)
def test_time_stamps_never_run_backwards(name: str, state: State) -> None:
    ahead = NOW + 5000
    store = MemoryStore()
    _, build, lapsed = BUILDERS[name]
    before = replace(_met(state, lapsed=lapsed), updated_ms=ahead)
    store.put_new(before)

    store.update(build(before))

    after = store.get(before.id)
    assert after is not None
    assert after.updated_ms >= ahead
    assert after.finished_ms is None or after.finished_ms >= ahead or not after.terminal


def test_heartbeat_leaves_the_state_alone() -> None:
    store = MemoryStore()
    before = samples.running()
    store.put_new(before)

    outcome = store.update(
        run_changes.heartbeat(before, now_ms=NOW, lease_ms=LEASE, report={}, mark_ms=None)
    )

    assert isinstance(outcome, Updated)
    assert outcome.record.state is State.RUNNING


@pytest.mark.parametrize("state", [state for state in State if state is not State.RUNNING])
def test_a_heartbeat_meets_only_running_jobs(state: State) -> None:
    store = MemoryStore()
    before = _met(state, lapsed=False)
    store.put_new(before)

    change = run_changes.heartbeat(before, now_ms=NOW, lease_ms=LEASE, report={}, mark_ms=None)

    assert store.update(change) == Refused(before)


@pytest.mark.parametrize(("crashes", "words"), [(0, "once"), (1, "2 times"), (2, "3 times")])
def test_expire_counts_the_last_death(crashes: int, words: str) -> None:
    store = MemoryStore()
    before = samples.silent(crashes=crashes)
    store.put_new(before)

    outcome = store.update(_expire(before))

    assert isinstance(outcome, Updated)
    assert outcome.record.crashes == crashes + 1
    last = outcome.record.errors[-1]
    assert last.kind == "WorkerDied"
    assert last.message.startswith(f"the worker died {words} while it ran this job; ")
    assert "runs_in=Process()" in last.message


def test_the_record_keeps_the_last_failures() -> None:
    store = MemoryStore()
    record = samples.running()
    store.put_new(record)
    for number in range(5):
        failure = samples.failure(f"number {number}")
        change = run_changes.fail_and_wait(
            record, failure, now_ms=NOW, due_ms=NOW, mark_ms=NOW, report={}
        )
        store.update(change)
        claim = run_changes.claim(
            record.id,
            task=record.task,
            queue=record.queue,
            run_id=f"run {number}",
            worker="w2",
            now_ms=NOW,
            stamp_ms=NOW,
            lease_ms=LEASE,
            skew_ms=SKEW,
        )
        outcome = store.update(claim)
        assert isinstance(outcome, Updated)
        record = outcome.record

    assert [error.message for error in record.errors] == ["number 2", "number 3", "number 4"]
    assert record.failures == 5
