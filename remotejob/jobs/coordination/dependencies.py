"""Jobs that wait for others: how they are stored, and what the end of the others does to them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from remotejob.domain import dependencies
from remotejob.domain.batches import is_batch_id
from remotejob.domain.changes import Change
from remotejob.domain.check_times import RECHECK
from remotejob.domain.dependencies import ANTECEDENTS_AT_MOST, EDGES, Edge
from remotejob.domain.errors import DependencyEnded, InvalidData, StoreUnavailable
from remotejob.domain.ids import is_job_id, new_run_id
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.record import JobRecord, dumps
from remotejob.domain.states import State
from remotejob.domain.times import span_ms
from remotejob.domain.transactions import Put, Step
from remotejob.jobs.coordination.batch_counts import recheck_batch
from remotejob.jobs.messaging.send import send_and_look_at_all
from remotejob.ports import Installation, Updated

log = logging.getLogger(__name__)

_TRIES: Final = 5

_EDGES_AT_A_TIME: Final = 500
"""As many as are seen to well within a message's visibility; the message, or the mark of what is
owed, brings back whoever sees to the rest."""

_NOT_FOLLOWED: Final = "the end of job %s not followed; it will be tried again"

Storing = Callable[[JobRecord], Put | Change]
"""The step that stores a dependent, or restarts it, as the record given says."""


def check_antecedents(job_ids: Sequence[str]) -> tuple[str, ...]:
    """The ids, each once. Raises: InvalidData."""
    unique = tuple(dict.fromkeys(job_ids))
    for job_id in unique:
        if not is_job_id(job_id):
            raise InvalidData(f"depends on {job_id!r}: give jobs, or their ids as submit gave them")
    if len(unique) > ANTECEDENTS_AT_MOST:
        raise InvalidData(
            f"depends on {len(unique)} jobs: {ANTECEDENTS_AT_MOST} at most; make them a batch with "
            "map(), whose on_complete job runs when all are done"
        )
    return unique


def blocked_by(record: JobRecord, antecedents: Sequence[str], *, now_ms: int) -> JobRecord:
    """A record as it is stored when it waits for those jobs."""
    return replace(
        record,
        state=State.WAITING,
        blocked=frozenset(antecedents),
        due_ms=record.due_ms or now_ms,
        attention=attention_key(Attention.WAITING, record.id),
        attention_ms=now_ms + span_ms(RECHECK),
    )


def store_dependent(
    record: JobRecord,
    antecedents: Sequence[str],
    installation: Installation,
    *,
    storing: Storing,
    others: Sequence[Step] = (),
) -> JobRecord | None:
    """Store a job that waits for others, in one transaction with the edges to them.

    Jobs that completed are left out. Returns the record as stored, or None when the step that
    stores it, or one of `others`, was refused.

    Raises: DependencyEnded, when one of them failed, was cancelled, or is not there.
    """
    store = installation.store
    token = new_run_id(installation.entropy)
    named = replace(record, depends_json=dumps(list(antecedents)) if antecedents else None)
    for _ in range(_TRIES):
        open_ones = not_ended(antecedents, installation)
        now = installation.clock.now_ms()
        # one restarted may still name those that it waited for when it was cancelled
        free = replace(named, blocked=None)
        stored = blocked_by(named, open_ones, now_ms=now) if open_ones else free
        own: list[Step] = [storing(stored), *others]
        steps = [*own, *dependencies.edges_to_put(record.id, open_ones, token=token)]
        conflict = store.transact(steps)
        if conflict is None:
            return stored
        if conflict.step < len(own):
            return None
    raise StoreUnavailable(f"the jobs {record.id} depends on changed each time; submit it again")


def not_ended(antecedents: Sequence[str], installation: Installation) -> list[str]:
    """Those of the jobs that have not ended. Raises: DependencyEnded."""
    found = {record.id: record for record in installation.store.get_many(antecedents)}
    for job_id in antecedents:
        record = found.get(job_id)
        if record is None:
            raise DependencyEnded(job_id, state=None)
        if record.state in (State.FAILED, State.CANCELLED):
            raise DependencyEnded(job_id, state=record.state)
    return [job_id for job_id in antecedents if found[job_id].state is not State.COMPLETED]


def edges_of(job_id: str, installation: Installation) -> list[Edge]:
    """The edges from a job to those that depend on it, spent ones included."""
    items = installation.store.items(job_id, EDGES)
    return [Edge.of(job_id, item) for _name, item in items]


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """What the end of a job did to those that depend on it."""

    cancelled: Sequence[JobRecord]
    """Those that it ended in turn."""
    all: bool
    """Whether there are no more to be seen to."""


def follow_edges(record: JobRecord, installation: Installation) -> Followed:
    """Let the dependents of a job that ended go on, or cancel them, so many at a time.

    What is refused for one of them does not hold back the others.
    """
    unspent = [edge for edge in edges_of(record.id, installation) if not edge.spent]
    now = unspent[:_EDGES_AT_A_TIME]
    if record.state is State.COMPLETED:
        released = _release_all(now, record, installation)
        return Followed(cancelled=(), all=released and len(now) == len(unspent))
    followed, cancelled = _cancel_all(now, record, installation)
    return Followed(cancelled=cancelled, all=followed and len(now) == len(unspent))


def _release_all(
    edges_now: Sequence[Edge], antecedent: JobRecord, installation: Installation
) -> bool:
    """Release dependents, send for those that are free together, and spend the edges."""
    released: list[tuple[Edge, JobRecord | None]] = []
    for edge in edges_now:
        try:
            released.append((edge, _release(edge, antecedent, installation)))
        except Exception:
            log.exception(_NOT_FOLLOWED, edge.antecedent, extra={"job": edge.dependent})
    free = [one for _, one in released if one is not None and _waits_for_its_turn(one)]
    # also those that were released before: whoever did may have died before sending
    send_and_look_at_all(free, installation)
    for edge, _ in released:
        installation.store.transact([_spent(edge, installation)])
    return len(released) == len(edges_now)


def _cancel_all(
    edges_now: Sequence[Edge], antecedent: JobRecord, installation: Installation
) -> tuple[bool, list[JobRecord]]:
    done, cancelled = True, []
    for edge in edges_now:
        try:
            ended = _cancel(edge, antecedent, installation)
        except Exception:
            log.exception(_NOT_FOLLOWED, edge.antecedent, extra={"job": edge.dependent})
            done = False
            continue
        if ended is not None:
            cancelled.append(ended)
    return done, cancelled


def _waits_for_its_turn(record: JobRecord) -> bool:
    return record.state is State.WAITING and not (record.blocked or record.parked)


def follow(
    edge: Edge, antecedent: JobRecord | None, installation: Installation
) -> JobRecord | None:
    """Do what the end of a job means for one that depends on it; the record, if it ended it."""
    if antecedent is not None and antecedent.state is State.COMPLETED:
        _release_all([edge], antecedent, installation)
        return None
    return _cancel(edge, antecedent, installation)


def _release(edge: Edge, antecedent: JobRecord, installation: Installation) -> JobRecord | None:
    """Take the edge out of what blocks the dependent; the dependent as it then stands."""
    now = installation.clock.now_ms()
    due = max(now, (antecedent.finished_ms or now) + (antecedent.delay_dependents_ms or 0))
    met: JobRecord | None = None
    for change in dependencies.releases(edge, now_ms=now, due_ms=due):
        outcome = installation.store.update(change)
        met = outcome.record
        if isinstance(outcome, Updated) or met is None:
            break
        if edge.antecedent not in (met.blocked or ()):
            break
    return met


def _cancel(
    edge: Edge, antecedent: JobRecord | None, installation: Installation
) -> JobRecord | None:
    state = "is not there any more" if antecedent is None else antecedent.state
    why = f"job {edge.antecedent}, which it depends on: {state}"
    store = installation.store
    for _ in range(_TRIES):
        record = store.get(edge.dependent)
        waits = record is not None and edge.antecedent in (record.blocked or ())
        if record is None or record.terminal or not waits:
            store.transact([_spent(edge, installation)])
            return None
        change = dependencies.cascade(edge, record, why=why, now_ms=installation.clock.now_ms())
        steps: list[Step] = [change, _spent(edge, installation)]
        if antecedent is not None:
            steps.append(dependencies.check_in_vain(antecedent))
        conflict = store.transact(steps)
        if conflict is None:
            ended = store.get(edge.dependent)
            # restarted already, it has no end that anything would follow from
            return ended if ended is not None and ended.terminal else None
        if conflict.step > 0:
            # one of the two was restarted meanwhile: the dependent with an edge of its own, or
            # the antecedent, whose next end decides
            return None
    raise StoreUnavailable(f"job {edge.dependent} changed each time it was to be cancelled")


def _spent(edge: Edge, installation: Installation) -> Put:
    expires = installation.clock.now_ms() + 2 * span_ms(installation.retention)
    return dependencies.spend(edge, expires_s=expires // 1000)


def recheck(record: JobRecord, installation: Installation) -> list[JobRecord]:
    """Look at what a blocked job waits for, in case nobody told it; the jobs that this ended."""
    waited_for = sorted(one for one in record.blocked or () if not is_batch_id(one))
    rechecked = (
        recheck_batch(record, batch_id, installation)
        for batch_id in (record.blocked or frozenset()).difference(waited_for)
    )
    ended = [one for one in rechecked if one is not None]
    found = {one.id: one for one in installation.store.get_many(waited_for)}
    for job_id in waited_for:
        antecedent = found.get(job_id)
        if antecedent is not None and not antecedent.terminal:
            continue
        edge_key = Edge(antecedent=job_id, dependent=record.id, token="").key
        item = installation.store.item(edge_key)
        edge = None if item is None else Edge.of(job_id, item)
        if edge is not None and (one := follow(edge, antecedent, installation)) is not None:
            ended.append(one)
    return ended
