"""Calls hooks about runs that ended without ending their job; `consequences` reports ended jobs."""

from __future__ import annotations

from remotejob.domain.events import Event
from remotejob.domain.lapses import LEASE_LOST, WORKER_DIED
from remotejob.domain.record import Failure, JobRecord
from remotejob.domain.states import State
from remotejob.ports import Installation


def tell_of_end(record: JobRecord, run_id: str, installation: Installation) -> None:
    """Report a run that ended and left this record: the repeated job it created, or its failure."""
    hooks, last = installation.hooks, record.errors[-1] if record.errors else None
    if record.next_id is not None and hooks.wants(Event.CREATED):
        following = installation.store.get(record.next_id)
        if following is not None:
            hooks.tell(Event.CREATED, following, installation)
    if record.state is State.WAITING and last is not None and last.run_id == run_id:
        hooks.tell(Event.COUNT_FAILED, record, installation, failure=last)


def tell_of_lapse(
    seen: JobRecord, claimed: JobRecord | None, run_id: str, installation: Installation
) -> None:
    """Report the run of `seen`, whose lease ended, if `run_id` has claimed the job since.

    The new worker reports it, because a dead one cannot.
    """
    if claimed is None or claimed.state is not State.RUNNING or claimed.run_id != run_id:
        return
    failure = Failure(
        run_id=seen.run_id or "",
        attempt=seen.attempt,
        at_ms=installation.clock.now_ms(),
        kind=LEASE_LOST if seen.lost else WORKER_DIED,
        message="the worker lost the lease of this job, and lives"
        if seen.lost
        else "the worker died while it ran this job",
    )
    installation.hooks.tell(Event.COUNT_FAILED, claimed, installation, failure=failure)
