"""One heartbeat of one run: extends the lease, writes its report, reads whether it must stop."""

from __future__ import annotations

import logging
from functools import partial
from types import MappingProxyType
from typing import Final

from remotejob.domain import run_changes
from remotejob.domain.check_times import GRACE
from remotejob.domain.conditions import Item
from remotejob.domain.errors import JobCancelled, LeaseLost
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.times import span_ms
from remotejob.names import Field
from remotejob.ports import Updated
from remotejob.worker.runs.run import Run

log = logging.getLogger(__name__)

_NOTHING: Final[Item] = MappingProxyType({})


def beat(run: Run, *, also: Item = _NOTHING, remove: tuple[Field, ...] = ()) -> bool:
    """Extend the lease of a run and write its report, with the fields `also` and without `remove`.

    Whether the run continues; if not, its stop signal is set. The store's errors pass through, and
    leave open whether anything was written.
    """
    installation = run.installation
    # one at a time: if two overtook each other, the record would keep the older lease while the
    # run went on by the newer
    with run.extending:
        clock, lease = installation.clock, run.lease_length
        began, now_ms = clock.monotonic(), clock.now_ms()
        first = run.record.attention is None
        report = run.reporter.report()
        build = partial(
            run_changes.heartbeat,
            now_ms=now_ms,
            lease_ms=span_ms(lease),
            report={**report.values, **also},
            mark_ms=now_ms + span_ms(lease + GRACE) if first else None,
            remove=remove,
        )
        change = build(run.record)
        outcome = installation.store.update(change)
        if outcome.record is not None and run_changes.overtaken(change, outcome.record):
            # by an earlier heartbeat that the worker had given up on
            outcome = installation.store.update(build(outcome.record))
        if isinstance(outcome, Updated):
            if first:
                # a short run logs only its end; this is the trace of one that dies
                log.info("run goes on", extra=run.context.fields)
            run.extended(outcome.record, began, lease, reported=report.version)
            return True
    met = outcome.record
    if met is not None and met.run_id == run.run_id and _cancelled_under_it(met):
        run.stop_signal.set(JobCancelled(f"job {run.job_id} was cancelled"))
    elif met is not None and met.run_id == run.run_id and met.state is State.RUNNING:
        run.stop_signal.set(
            LeaseLost(f"the lease of job {run.job_id} ended before this heartbeat arrived")
        )
    else:
        run.stop_signal.set(LeaseLost(f"job {run.job_id} belongs to another run"))
    return False


def _cancelled_under_it(met: JobRecord) -> bool:
    """Whether the job was cancelled under a run, and perhaps restarted since.

    Then the lease is still there: only its holder clears it.
    """
    if met.state is State.CANCELLED:
        return True
    return met.state in (State.WAITING, State.PAUSED) and met.lease_ms is not None
