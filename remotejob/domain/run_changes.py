"""The changes of one run: from its claim to its end, with the condition that guards each.

`domain.changes` explains the time lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from remotejob.domain.changes import (
    EXISTS,
    NOT_LATER,
    OWED_STATUS,
    UNHINDERED,
    Change,
    Condition,
    Fields,
)
from remotejob.domain.conditions import (
    Absent,
    All,
    AtLeast,
    AtMost,
    Either,
    Is,
    IsNot,
    Item,
    Value,
    state_is,
)
from remotejob.domain.lapses import lapse_of, last_lapse
from remotejob.domain.marks import MARK, Attention, mark
from remotejob.domain.record import Failure, JobRecord, errors_to_json
from remotejob.domain.states import Command, State, sources_of
from remotejob.domain.transactions import number
from remotejob.names import Field

CLAIM: Final = Condition(
    name="claim",
    # Two messages of one job, or one delivered twice:
    #     A  receive ── claim ✓ ── runs …
    #     B  receive ───────── claim ✗ (running, lease live) ── hides its message
    # A cancelled run still winding down while the job is restarted (cancel leaves the lease):
    #     A  runs ─────────────────── heartbeat: stop ── clears the lease
    #     M     cancel ── restart
    #     B                 claim ✗ (lease live) ── hides ──────────────── claim ✓
    # A clock behind the record's last writer would set its time stamps back: the claim is refused,
    # and the worker claims again with the record's own time.
    expression=All(
        EXISTS,
        Either(
            state_is(State.READY),
            All(state_is(State.WAITING), AtMost(Field.DUE, "now"), *UNHINDERED),
        ),
        Either(Absent(Field.LEASE), AtMost(Field.LEASE, "lapsed")),
        NOT_LATER,
        # A message that names another task, or came on another queue's lane, must run nothing: it
        # would run the job under a task it was not submitted for, with another queue's rights.
        Is(Field.TASK, "task"),
        Is(Field.QUEUE, "queue"),
        # a claim that arrives late, after its run has given the job back, must not begin it again
        IsNot(Field.RUN, "new_run"),
        # a job that needs a lock is claimed together with it (see `domain.locks`)
        Absent(Field.RESOURCE),
        Absent(Field.TENANT_LIMIT),
        # its message came late; a limit that counts from the due time refuses, too, because it has
        # to be written first (see `domain.start_limits`)
        Either(Absent(Field.START_BY), AtLeast(Field.START_BY, "now")),
    ),
)

OWN_LIVE_RUN: Final = Condition(
    name="own_live_run",
    # A lost lease is never revived: another worker may be acting on its end at this moment.
    #     A  runs ── (silent past its lease) ── heartbeat ✗ ── stops
    #     B                                       claim ✓
    # One that arrives late must not shorten the lease, nor put an older report in place:
    #     A  heartbeat (no answer) ── heartbeat ✓ ────────────── ✗ (the first one arrives)
    expression=All(
        EXISTS,
        state_is(State.RUNNING),
        Is(Field.RUN, "run"),
        AtLeast(Field.LEASE, "now"),
        AtMost(Field.LEASE, "until"),
        NOT_LATER,
    ),
)

OWN_RUN: Final = Condition(
    name="own_run",
    # The fencing token: an outcome counts only under the run id of the current claim.
    #     A  runs ── (stalls) ──────────────────────────── complete ✗
    #     B               claim ✓ ── runs ── complete ✓
    # If the answer to a commit is lost and the commit repeated, its own effect refuses it. The run
    # id stays in the record, so the worker can tell.
    # A heartbeat may overtake the commit: then the commit is made again with a later time.
    expression=All(
        EXISTS, state_is(*sources_of(Command.COMPLETE)), Is(Field.RUN, "run"), NOT_LATER
    ),
)

CANCELLED_RUN: Final = Condition(
    name="cancelled_run",
    # Only the holder clears the lease of a cancelled run, so a restart cannot overlap it. A job
    # restarted meanwhile waits only for that:
    #     A  runs ─────────────────── heartbeat: stop ── clears the lease
    #     M     cancel ── restart (── pause)
    #     B                                                        claim ✓
    expression=All(
        EXISTS,
        state_is(State.CANCELLED, State.WAITING, State.PAUSED),
        Is(Field.RUN, "run"),
    ),
)


def claim(
    job_id: str,
    *,
    task: str,
    queue: str,
    run_id: str,
    worker: str,
    now_ms: int,
    stamp_ms: int,
    lease_ms: int,
    skew_ms: int,
) -> Change:
    """Claim a runnable job for one run.

    `task` and `queue` are those of its message, and must be the record's. `stamp_ms` is `now_ms`,
    or the record's time if later.
    """
    return Change(
        job_id=job_id,
        condition=CLAIM,
        values={
            "task": task,
            "queue": queue,
            "now": now_ms,
            "lapsed": now_ms - skew_ms,
            "stamp": stamp_ms,
            "new_run": run_id,
        },
        set=_run_begins(run_id, worker, stamp_ms, now_ms + lease_ms),
        add={Field.ATTEMPT: 1},
        remove=MARK,
    )


def reclaim(
    record: JobRecord, *, run_id: str, worker: str, now_ms: int, lease_ms: int, skew_ms: int
) -> Change:
    """Claim a job whose lease has ended, and count that as `domain.lapses` says."""
    lapse = lapse_of(record, now_ms=now_ms, skew_ms=skew_ms)
    begins = _run_begins(run_id, worker, max(now_ms, record.updated_ms), now_ms + lease_ms)
    return Change(
        job_id=record.id,
        condition=lapse.condition,
        values=lapse.values,
        set={**begins, **lapse.set},
        add={Field.ATTEMPT: 1, **lapse.add},
        remove=MARK,
    )


def heartbeat(
    record: JobRecord,
    *,
    now_ms: int,
    lease_ms: int,
    report: Item,
    mark_ms: int | None,
    remove: Fields = (),
) -> Change:
    """Extend the lease and write the run's report.

    The lease never gets shorter than it is in `record`, even if the clock was set back. Only the
    first heartbeat gives `mark_ms`: later ones leave the index key as it is. `remove` names the
    fields that the report replaces.
    """
    # later than the one before, even within a millisecond: the two reports differ
    stamp_ms = max(now_ms, record.updated_ms + 1)
    until_ms = max(now_ms + lease_ms, record.lease_ms or 0)
    marked = {} if mark_ms is None else mark(Attention.RUNNING, record.id, mark_ms)
    return Change(
        job_id=record.id,
        condition=OWN_LIVE_RUN,
        values={"run": _run_of(record), "now": now_ms, "until": until_ms, "stamp": stamp_ms},
        set={
            Field.LEASE: until_ms,
            Field.UPDATED: stamp_ms,
            **report,
            **marked,
        },
        remove=remove,
    )


def complete(
    record: JobRecord,
    *,
    now_ms: int,
    retention_ms: int,
    report: Item,
    remove: Fields = (),
) -> Change:
    """The run's outcome becomes the job's.

    `report` holds the result, outputs and last log lines; `remove` names fields no longer needed.
    """
    finished = max(now_ms, record.updated_ms)
    completed: dict[str, Value] = {
        Field.STATE: State.COMPLETED,
        Field.FINISHED: finished,
        Field.UPDATED: finished,
        **report,
    }
    if record.batch is not None:
        # its batch has to count it: a promise that must outlive the message
        owed = {Field.OWED: OWED_STATUS, **mark(Attention.OWED, record.id, finished)}
        return _own_run_ends(record, {**completed, **owed}, remove=(Field.LEASE, *remove))
    completed[Field.EXPIRES] = (finished + retention_ms) // 1000
    return _own_run_ends(record, completed, remove=(Field.LEASE, *MARK, *remove))


def fail_for_good(record: JobRecord, failure: Failure, *, now_ms: int, report: Item) -> Change:
    """End a job as failed: no attempt is left, or none would help."""
    finished = max(now_ms, record.updated_ms)
    return _own_run_ends(
        record,
        {**ended_failed(record, failure, finished), **report},
        add={Field.FAILURES: 1},
        remove=(Field.LEASE,),
    )


def fail_and_wait(
    record: JobRecord, failure: Failure, *, now_ms: int, due_ms: int, mark_ms: int, report: Item
) -> Change:
    """Retry at `due_ms`; the scheduler checks the job at `mark_ms`."""
    return _own_run_ends(
        record,
        {
            Field.STATE: State.WAITING,
            Field.DUE: due_ms,
            Field.UPDATED: max(now_ms, record.updated_ms),
            Field.ERRORS: errors_to_json((*record.errors, failure)),
            **mark(Attention.WAITING, record.id, mark_ms),
            **report,
        },
        add={Field.FAILURES: 1},
        remove=(Field.LEASE,),
    )


def release(record: JobRecord, *, now_ms: int, report: Item) -> Change:
    """Give the job back; the run does not count as an attempt."""
    return _own_run_ends(
        record,
        {Field.STATE: State.READY, Field.UPDATED: max(now_ms, record.updated_ms), **report},
        add={Field.RELEASES: 1, Field.ATTEMPT: -1},
        remove=(Field.LEASE, *MARK),
    )


def expire(record: JobRecord, *, now_ms: int, skew_ms: int) -> Change:
    """Fail a job whose workers died, or lost its lease, too often, including this time."""
    lapse = lapse_of(record, now_ms=now_ms, skew_ms=skew_ms)
    failure = last_lapse(record, now_ms=now_ms)
    return Change(
        job_id=record.id,
        condition=lapse.condition,
        values=lapse.values,
        set=ended_failed(record, failure, max(now_ms, record.updated_ms)),
        add=lapse.add,
        # the reason names this count, so no worker may correct it afterwards
        remove=(Field.LEASE, Field.CRASHED_RUNS),
    )


def overtaken(change: Change, record: JobRecord | None) -> bool:
    """Whether only an earlier heartbeat of the same run, as it seems, refused a change by the run.

    It took effect late, or while the change was on its way.
    """
    return (
        record is not None
        and record.state is State.RUNNING
        and record.run_id == change.values["run"]
        and record.updated_ms > number(change.values["stamp"])
    )


def made_later(change: Change, record: JobRecord) -> Change:
    """The same end of a run, at a later time than the record's."""
    before, stamp_ms = change.values["stamp"], record.updated_ms
    moved: dict[str, Value] = {
        name: stamp_ms
        for name in (Field.UPDATED, Field.FINISHED, Field.ATTENTION_AT)
        if change.set.get(name) == before
    }
    return replace(change, values={**change.values, "stamp": stamp_ms}, set={**change.set, **moved})


def let_go_of_cancelled(record: JobRecord, *, run_id: str) -> Change:
    """Clear the lease of a cancelled run, once its holder has stopped."""
    return Change(
        job_id=record.id, condition=CANCELLED_RUN, values={"run": run_id}, remove=(Field.LEASE,)
    )


def _run_begins(run_id: str, worker: str, stamp_ms: int, lease_until_ms: int) -> dict[str, Value]:
    return {
        Field.STATE: State.RUNNING,
        Field.RUN: run_id,
        Field.WORKER: worker,
        Field.LEASE: lease_until_ms,
        Field.STARTED: stamp_ms,
        Field.UPDATED: stamp_ms,
    }


def ended_failed(record: JobRecord, failure: Failure, finished_ms: int) -> dict[str, Value]:
    """What a record says once its job has failed for good."""
    return {
        Field.STATE: State.FAILED,
        Field.FINISHED: finished_ms,
        Field.UPDATED: finished_ms,
        Field.ERRORS: errors_to_json((*record.errors, failure)),
        Field.OWED: OWED_STATUS,
        **mark(Attention.OWED, record.id, finished_ms),
    }


def _own_run_ends(
    record: JobRecord,
    to_set: Item,
    *,
    remove: tuple[Field, ...],
    add: Mapping[Field, int] | None = None,
) -> Change:
    return Change(
        job_id=record.id,
        condition=OWN_RUN,
        values={"run": _run_of(record), "stamp": number(to_set[Field.UPDATED])},
        set=to_set,
        add=add or {},
        remove=remove,
    )


def _run_of(record: JobRecord) -> str:
    assert record.run_id is not None, f"{record.id} has no run"
    return record.run_id
