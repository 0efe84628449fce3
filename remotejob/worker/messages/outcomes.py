"""The change that commits the end of a run to its job's record.

Long results and manifests are stored in S3 before the change names them. A traceback is a note.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from remotejob.domain import run_changes
from remotejob.domain.argument_checks import is_a
from remotejob.domain.changes import Change
from remotejob.domain.check_times import first_look
from remotejob.domain.conditions import Item, Value
from remotejob.domain.crash_limits import NOT_AGAIN
from remotejob.domain.errors import Fatal, RunInterrupted
from remotejob.domain.history import Action, entered
from remotejob.domain.record import Failure, JobRecord, outputs_to_json
from remotejob.domain.start_limits import LIFTED_MS, last_start_ms
from remotejob.domain.text import cut, kind_of, said_by, trace_of
from remotejob.domain.times import from_ms, span_ms, to_ms
from remotejob.jobs.content import payloads
from remotejob.jobs.coordination import successors
from remotejob.jobs.coordination.successors import End
from remotejob.names import FAILURE_NOTES, RESERVED_OUTPUT_PREFIX, Field
from remotejob.outages import retry_while_unavailable
from remotejob.ports import Area, Installation
from remotejob.tasks.completion import Completion
from remotejob.worker.messages.beside_the_error import made_or
from remotejob.worker.runs.no_space import lacked_space
from remotejob.worker.runs.run import Run
from remotejob.worker.runs.usage import Ending

log = logging.getLogger(__name__)

Kept = Mapping[str, Value]
"""The fields of the completed record that hold the result and the outputs."""

_NO_SPACE_AGAIN: Final = (
    "the disk was full in another run of this job too: give workers a larger disk, or write less"
)
_NOT_LOGGED: Final = "its failure cannot be logged"
_STORE: Final = "store a result"
_LONGEST_MESSAGE: Final = 1000
_LONGEST_REASON: Final = 150
"""Characters of a reason, so that the rest of the message fits into the record."""
_LONGEST_TRACE: Final = 100_000


def kept(run: Run, result: Any) -> Kept:
    """The result and the manifest as fields of the record; long ones go to S3 first.

    The work is done, so this retries as long as the run has the job.
    Raises: InvalidData, when JSON cannot write the result; RunInterrupted, when the run must stop;
    S3's own error, when it refused for the length of a lease.
    """
    values: dict[str, Value] = {}
    if result is not None:
        text = payloads.encode_result(result)
        if payloads.fits_inline(text):
            values[Field.RESULT] = text
        else:
            values[Field.RESULT_REF] = _stored(run, "result.json", text)
    if run.workspace.outputs:
        text = outputs_to_json(run.workspace.outputs)
        if payloads.fits_inline(text):
            values[Field.OUTPUTS] = text
        else:
            values[Field.OUTPUTS_REF] = _stored(run, "outputs.json", text)
    return values


def _stored(run: Run, name: str, text: str) -> str:
    key, files = f"{run.prefix}{RESERVED_OUTPUT_PREFIX}{name}", run.installation.files

    def store() -> str:
        return payloads.store_text(files, Area.OUTPUT, key, text)

    return retry_while_unavailable(run, store, what=_STORE, stubborn=True)


def completed(
    run: Run, completion: Completion, kept_result: Kept, installation: Installation
) -> End:
    """The change that completes the job, with its successor if it repeats.

    Raises: what the successor's own checks raise.
    """
    values = dict(kept_result)
    checkpoint, forgotten = run.checkpoints.at_completion()
    delay_ms = span_ms(completion.delay_dependents)
    if delay_ms > 0:
        values[Field.DELAY_DEPENDENTS] = delay_ms
    change = run_changes.complete(
        run.record,
        now_ms=installation.clock.now_ms(),
        retention_ms=span_ms(installation.retention),
        report={**_last_report(run, Ending.COMPLETED), **values, **checkpoint},
        remove=forgotten,
    )
    return successors.completed(run.record, change, installation)


def failed(run: Run, error: BaseException, installation: Installation) -> End:
    """The change after a failed run: the job waits to run again, or has failed for good.

    In that case, its successor goes with it if it repeats.
    """
    now = installation.clock.now_ms()
    failure = _failure(run, error, _message(error, run.record), now)
    due_ms = None if is_a(error, Fatal) else _next_run(run, now)
    return _failed(run, error, failure, due_ms, installation)


def failed_not_again(run: Run, reason: BaseException, installation: Installation) -> End:
    """The change after a run that was ended from outside, of a job that must not run again."""
    message = f"its run was cut off ({cut(said_by(reason), _LONGEST_REASON)}), and {NOT_AGAIN}"
    failure = _failure(run, reason, message, installation.clock.now_ms())
    return _failed(run, reason, failure, None, installation)


def _failure(run: Run, error: BaseException, message: str, now_ms: int) -> Failure:
    return Failure(
        run_id=run.run_id,
        attempt=run.record.attempt,
        at_ms=now_ms,
        kind=kind_of(error),
        message=message,
    )


def _failed(
    run: Run,
    error: BaseException,
    failure: Failure,
    due_ms: int | None,
    installation: Installation,
) -> End:
    record, now = run.record, failure.at_ms
    _keep_trace(run, error, installation)
    made_or(None, partial(_log_failure, run, failure, due_ms), run=run, what=_NOT_LOGGED)
    if due_ms is None:
        report = _last_report(run, Ending.FAILED)
        change = run_changes.fail_for_good(record, failure, now_ms=now, report=report)
        return successors.failed(record, change, installation)
    max_delay = installation.messages.capabilities.max_delay
    later = Ending.SENT_AGAIN if due_ms - now <= span_ms(max_delay) else Ending.PUT_OFF
    waits = run_changes.fail_and_wait(
        record,
        failure,
        now_ms=now,
        due_ms=due_ms,
        mark_ms=first_look(due_ms, now_ms=now, max_delay=max_delay),
        report=_last_report(run, later if due_ms > now else Ending.AT_ONCE),
    )
    return End(change=waits)


def _next_run(run: Run, now_ms: int) -> int | None:
    """When the job runs again, by its own retry policy or its task's; None for not at all.

    Not at all, too, if no run may begin then any more.
    """

    def next_run() -> int | None:
        record = run.record
        retry = record.retry or run.task.retry
        if record.start_by_ms == LIFTED_MS:
            retry = replace(retry, until=None)
        due = retry.next_run(failures=record.failures + 1, now=from_ms(now_ms))
        last_ms = last_start_ms(record)
        if due is None or (last_ms is not None and to_ms(due) > last_ms):
            return None
        return to_ms(due)

    return made_or(None, next_run, run=run, what="its retry policy cannot be applied")


def _log_failure(run: Run, failure: Failure, due_ms: int | None) -> None:
    due = None if due_ms is None else from_ms(due_ms)
    log.warning(
        "run failed, %s: %s: %s",
        "for good" if due is None else f"again at {due:%Y-%m-%d %H:%M:%S} UTC",
        failure.kind,
        cut(failure.message, 300),
        extra={
            **run.context.fields,
            "error": failure.kind,
            "ran_s": round(run.ran_s, 3),
            **({} if due is None else {"due": due.isoformat(timespec="seconds")}),
        },
    )


def released(run: Run, reason: RunInterrupted, installation: Installation) -> End:
    """The change that gives the job back, for another run to begin at once."""
    return End(change=_given_back(run, said_by(reason), installation))


def ran_out_of_space(run: Run, installation: Installation) -> End:
    """The change that gives the job back because this worker's disk is full; once for each job."""
    why = f"the disk of worker {run.record.worker} is full"
    change = _given_back(run, why, installation)
    return End(change=replace(change, set={**change.set, Field.NO_SPACE: 1}))


def ran_out_of_memory(run: Run, installation: Installation) -> End:
    """The change that gives the job back because its process died as memory ran out.

    It counts as a crash, not as a failed attempt: another job may have taken the memory.
    """
    change = _given_back(run, f"memory ran out on worker {run.record.worker}", installation)
    return End(change=replace(change, add={**change.add, Field.CRASHES: 1}))


def _given_back(run: Run, why: str, installation: Installation) -> Change:
    change = run_changes.release(
        run.record,
        now_ms=installation.clock.now_ms(),
        report=_last_report(run, Ending.AT_ONCE),
    )
    return entered(change, run.record, Action.GIVEN_BACK, actor=installation.actor, detail=why)


def _message(error: BaseException, record: JobRecord) -> str:
    said = cut(said_by(error), _LONGEST_MESSAGE)
    if record.no_space and lacked_space(error):
        said += f"; {_NO_SPACE_AGAIN}"
    return said


def _last_report(run: Run, ending: Ending) -> Item:
    """All the run has said and used, even while a heartbeat with part of it is on its way."""

    def at_end() -> str | None:
        return run.usage.at_end(ending, now_ms=run.installation.clock.now_ms())

    # first: a line about it is in the report
    used = made_or(None, at_end, run=run, what="what it used cannot be told")
    nothing: Item = {}
    said = made_or(nothing, run.reporter.last_report, run=run, what="its report is lost")
    return said if used is None else {**said, Field.CALLS: used}


def _keep_trace(run: Run, error: BaseException, installation: Installation) -> None:
    """Store the whole traceback as a note; the record keeps only the last lines."""
    expires_ms = installation.clock.now_ms() + 2 * span_ms(installation.retention)
    try:
        text = cut(trace_of(error), _LONGEST_TRACE)
        run.installation.store.put_note(
            run.job_id,
            f"{FAILURE_NOTES}{run.record.failures + 1:06d}#{run.run_id}",
            text,
            expires_s=expires_ms // 1000,
        )
    except Exception:
        # a traceback helps to find the fault, but the failure must be recorded without it too
        log.exception("traceback not kept", extra=run.context.fields)
