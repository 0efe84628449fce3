"""What the job's own record says: it has ended, runs, is paused, waits for others or for a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from remotejob.domain.batches import is_batch_id
from remotejob.domain.record import Failure, JobRecord
from remotejob.domain.start_limits import JOB_EXPIRED, last_start_ms, limit_name, too_late
from remotejob.domain.states import State
from remotejob.domain.suspects import runs_alone
from remotejob.domain.text import counted
from remotejob.domain.times import span_ms
from remotejob.jobs.queries.why.reasons import Reason, Why, iso
from remotejob.ports import Installation

_SILENT: Final = (
    "wait: its message appears again, or the scheduler sends another within a minute; if that "
    "happens again and again, read the worker's log"
)


def in_its_own_state(
    record: JobRecord, installation: Installation, *, now_ms: int
) -> Reason | None:
    """The reason that the record alone gives; None if the job could run now."""
    skew_ms = span_ms(installation.skew)
    if record.terminal:
        return _ended(record, now_ms, skew_ms=skew_ms)
    if record.state is State.RUNNING:
        return _running(record, now_ms, skew_ms=skew_ms)
    if record.state is State.PAUSED:
        return _paused(record)
    if record.blocked:
        return _depends(record, record.blocked, installation)
    if record.run_id is not None and record.live(record.run_id, now_ms, skew_ms=skew_ms):
        return _winding_down(record)
    if not record.parked and too_late(record, now_ms=now_ms, skew_ms=skew_ms):
        return _too_late(record)
    if not (record.parked or record.runnable(now_ms)):
        return _not_due(record)
    return None


def alone(record: JobRecord) -> str:
    """A clause that says that the job runs alone; empty if it does not."""
    if not runs_alone(record):
        return ""
    return "; it has crashed before, so it runs alone, once its worker's other jobs have ended"


def _ended(record: JobRecord, now_ms: int, *, skew_ms: int) -> Reason:
    if record.run_id is not None and record.live(record.run_id, now_ms, skew_ms=skew_ms):
        return _winding_down(record)
    at = None if record.finished_ms is None else iso(record.finished_ms)
    details: dict[str, Any] = {"state": record.state, "at": at}
    said = f"it {'has' if record.state is not State.CANCELLED else 'was'} {record.state}, at {at}"
    if record.errors and record.state is not State.COMPLETED:
        details["error"] = _error(record.errors[-1])
        said += f": {details['error']}"
    restart = _remedy_of_end(record)
    if record.owed is None:
        return Reason(code=Why.ENDED, text=said, remedy=restart, details=details)
    return Reason(
        code=Why.OWED,
        text=f"{said}; what follows from that is still being carried out",
        remedy="wait: a worker or the scheduler does the rest within minutes",
        details=details,
    )


def _remedy_of_end(record: JobRecord) -> str:
    if record.state is State.COMPLETED:
        return ""
    if record.errors and record.errors[-1].kind == JOB_EXPIRED:
        return "restart it to run it all the same, or submit it with a later limit"
    if record.at_most_once:
        return "look at what its last run did, then restart it to run it again"
    return "restart it to run it again"


def _running(record: JobRecord, now_ms: int, *, skew_ms: int) -> Reason:
    details: dict[str, Any] = {
        "worker": record.worker,
        "attempt": record.attempt,
        "since": None if record.started_ms is None else iso(record.started_ms),
    }
    beyond_sense = record.lease_beyond_sense(now_ms)
    if record.lease_ms is not None and record.lease_ms + skew_ms > now_ms and not beyond_sense:
        return Reason(
            code=Why.RUNNING,
            text=f"it runs, attempt {record.attempt} since {details['since']}, on worker "
            f"{record.worker}",
            details=details,
        )
    if beyond_sense:
        details["lease_until"] = None
        return Reason(
            code=Why.WORKER_SILENT,
            text="its lease ends later than any worker's can, so no run holds it; the next worker "
            "takes the job over",
            remedy=_SILENT,
            details=details,
        )
    details["lease_until"] = None if record.lease_ms is None else iso(record.lease_ms)
    return Reason(
        code=Why.WORKER_SILENT,
        text=f"its worker {record.worker} fell silent: its lease ended at "
        f"{details['lease_until']}; the next worker takes the job over{alone(record)}",
        remedy=_SILENT,
        details=details,
    )


def _paused(record: JobRecord) -> Reason:
    since = iso(record.updated_ms)
    return Reason(
        code=Why.PAUSED,
        text=f"it is paused, unchanged since {since}",
        remedy=f"resume it: remotejob resume {record.id}",
        details={"since": since},
    )


def _winding_down(record: JobRecord) -> Reason:
    assert record.lease_ms is not None
    until = iso(record.lease_ms)
    return Reason(
        code=Why.WINDING_DOWN,
        text=f"it was cancelled while it ran, and worker {record.worker} has not stopped it yet; "
        f"it has until {until}",
        remedy="wait until then; a task stops sooner if it calls `job.check` now and then",
        details={"worker": record.worker, "until": until},
    )


def _depends(record: JobRecord, blocked: Iterable[str], installation: Installation) -> Reason:
    batches = sorted(one for one in blocked if is_batch_id(one))
    if batches:
        return Reason(
            code=Why.BATCH,
            text=f"it runs once batch {', '.join(batches)} is done",
            remedy=f"see how far it is: remotejob batch {batches[0]}",
            details={"batches": batches},
        )
    found = {one.id: one.state for one in installation.store.get_many(sorted(blocked))}
    states = {job_id: found.get(job_id) for job_id in sorted(blocked)}
    named = ", ".join(f"{job_id} ({state or 'removed'})" for job_id, state in states.items())
    return Reason(
        code=Why.DEPENDS,
        text=f"it waits for {counted(len(states), 'other job')}: {named}",
        remedy="ask why of these jobs; to run this one without them: remotejob ready "
        f"{record.id} --independent",
        details={"jobs": states},
    )


def _not_due(record: JobRecord) -> Reason:
    due = None if record.due_ms is None else iso(record.due_ms)
    now = f"to run it now: remotejob ready {record.id}"
    if record.failures and record.errors:
        error = _error(record.errors[-1])
        return Reason(
            code=Why.RETRY,
            text=f"its run failed ({error}); it runs again at {due}",
            remedy=now,
            details={"due": due, "failures": record.failures, "error": error},
        )
    return Reason(code=Why.DUE, text=f"it is due at {due}", remedy=now, details={"due": due})


def _too_late(record: JobRecord) -> Reason:
    last = last_start_ms(record)
    assert last is not None
    until = iso(last)
    return Reason(
        code=Why.TOO_LATE,
        text=f"no run may begin any more: {limit_name(record, last)} was {until}; it fails once "
        "the scheduler or a worker looks at it",
        remedy="wait until it has failed, then restart it to run it all the same: remotejob "
        f"restart {record.id}",
        details={"until": until},
    )


def _error(failure: Failure) -> str:
    return f"{failure.kind}: {failure.message}"
