"""The locks that a job needs: its resource, and a place of its tenant."""

from __future__ import annotations

from remotejob.domain import locks
from remotejob.domain.locks import Limit, limits_of
from remotejob.domain.record import JobRecord
from remotejob.domain.text import counted
from remotejob.jobs.coordination.locks import live_holders
from remotejob.jobs.queries.why.reasons import Reason, Why, iso
from remotejob.names import Partition
from remotejob.ports import Installation


def at_a_limit(record: JobRecord, installation: Installation, *, now_ms: int) -> Reason | None:
    """The reason if a lock that the job needs has no free slot."""
    for limit in limits_of(record):
        reason = _locked(record, limit, now_ms, installation)
        if reason is not None:
            return reason
    return None


def _locked(
    record: JobRecord, limit: Limit, now_ms: int, installation: Installation
) -> Reason | None:
    live = live_holders(limit, installation, now_ms=now_ms)
    if len(live) < limit.slots:
        return None
    waiters = installation.store.items(limit.partition, locks.WAITERS)
    own = locks.waiter_key(limit, record.id).name
    ahead = sum(name < own for name, _ in waiters)
    begun = {one.id: None if one.started_ms is None else iso(one.started_ms) for one in live}
    named = ", ".join(f"job {job_id} since {at}" for job_id, at in begun.items())
    if limit.partition.startswith(Partition.RESOURCE):
        code, what = Why.RESOURCE, f"resource {record.resource!r}"
        remedy = "wait, or cancel the job that holds it"
    else:
        code = Why.TENANT
        what = f"{counted(limit.slots, 'place')} of tenant {record.tenant!r}"
        remedy = "wait, or raise the queue's `tenant_limit` in remotejob.toml and deploy"
    before = counted(ahead, "job") if ahead else "nothing"
    return Reason(
        code=code,
        text=f"it waits for the {what}, held by {named}; {before} before it",
        remedy=remedy,
        details={"holders": begun, "ahead": ahead},
    )
