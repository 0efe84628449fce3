"""Jobs that depend on others: stores them, and releases or cancels them when the others end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from remotejob.domain import dependencies
from remotejob.domain.batches import is_batch_id
from remotejob.domain.changes import Change
from remotejob.domain.check_times import GRACE, RECHECK
from remotejob.domain.conditions import Item
from remotejob.domain.dependencies import EDGES, EDGES_WITH_RECORD, Edge
from remotejob.domain.errors import DependencyEnded, StoreUnavailable, UnreadableItem
from remotejob.domain.ids import is_job_id, new_run_id
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.text import dumps
from remotejob.domain.times import span_ms
from remotejob.domain.transactions import Put, Step, no_job_id
from remotejob.domain.unreadable import reading_item
from remotejob.jobs.coordination import successors
from remotejob.jobs.coordination.batch_counts import recheck_batch
from remotejob.jobs.coordination.linking import finish_linking, link_rest, try_to_link
from remotejob.jobs.messaging.log_fields import log_fields
from remotejob.jobs.messaging.send import send_and_look_at_all
from remotejob.ports import Installation, Updated

log = logging.getLogger(__name__)

_TRIES: Final = 5

_EDGES_AT_A_TIME: Final = 500
"""As many as fit well within a message's visibility timeout. The message, or the mark of what the
job owes, brings back a worker or the scheduler for the rest."""

_NOT_FOLLOWED: Final = "dependent of job %s not released or cancelled; will be tried again"

Storing = Callable[[JobRecord], Put | Change]
"""Builds the step that stores the given record of a dependent, or restarts it."""


def blocked_by(
    record: JobRecord, antecedents: Sequence[str], *, now_ms: int, token: str
) -> JobRecord:
    """The record as stored while it waits for those jobs, whose edges have that token."""
    many = len(antecedents) > EDGES_WITH_RECORD
    blocked = replace(
        record,
        blocked=frozenset(antecedents),
        linking=token if many else None,
        due_ms=record.due_ms or now_ms,
    )
    if record.state is State.PAUSED:
        return blocked
    return replace(
        blocked,
        state=State.WAITING,
        attention=attention_key(Attention.WAITING, record.id),
        # with edges missing, the scheduler looks as soon as it would for a message
        attention_ms=now_ms + span_ms(GRACE if many else RECHECK),
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

    The edges to very many are stored in further transactions, after it. Completed jobs get no edge.
    Returns the record as stored, or None when the step that stores it, or one of `others`, was
    refused.

    Raises: DependencyEnded, when one of the jobs failed, was cancelled, or does not exist.
    """
    store = installation.store
    token = new_run_id(installation.entropy)
    named = replace(record, depends_json=dumps(list(antecedents)) if antecedents else None)
    for _ in range(_TRIES):
        open_ones = not_ended(antecedents, installation)
        now = installation.clock.now_ms()
        # a restarted job may still name the jobs it waited for when it was cancelled
        free = replace(named, blocked=None, linking=None)
        stored = blocked_by(named, open_ones, now_ms=now, token=token) if open_ones else free
        own: list[Step] = [storing(stored), *others]
        now_linked = () if stored.linking is not None else open_ones
        steps = [*own, *dependencies.edges_to_put(record.id, now_linked, token=token)]
        conflict = store.transact(steps)
        if conflict is None:
            try_to_link(stored, installation)
            return stored
        if conflict.step < len(own):
            return None
    raise StoreUnavailable(
        f"the jobs {record.id} depends on changed each time they were read; submit it again"
    )


def not_ended(antecedents: Sequence[str], installation: Installation) -> list[str]:
    """The jobs that have not ended. Raises: DependencyEnded, when one did not complete."""
    found = {record.id: record for record in installation.store.get_many(antecedents)}
    for job_id in antecedents:
        # reading it alone raises, if it exists but cannot be read
        record = found.get(job_id) or installation.store.get(job_id)
        if record is None:
            raise DependencyEnded(job_id, state=None)
        found[job_id] = record
        if record.state in (State.FAILED, State.CANCELLED):
            raise DependencyEnded(job_id, state=record.state)
    return [job_id for job_id in antecedents if found[job_id].state is not State.COMPLETED]


def edges_of(job_id: str, installation: Installation) -> list[Edge]:
    """The edges from a job to its dependents, spent ones included."""
    items = installation.store.items(job_id, EDGES)
    read = (_edge(job_id, name, item, installation) for name, item in items)
    return [edge for edge in read if edge is not None]


def _edge(job_id: str, name: str, item: Item, installation: Installation) -> Edge | None:
    """The edge in an item; None if it is none, and then it is left out."""
    try:
        with reading_item(job_id, name):
            edge = Edge.of(job_id, item)
        if edge.key.name != name or not is_job_id(edge.dependent):
            raise no_job_id(name, partition=job_id)
    except UnreadableItem as problem:
        installation.skipped.add(problem)
        return None
    return edge


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """What the end of a job did to its dependents."""

    cancelled: Sequence[JobRecord]
    """The dependents that it cancelled."""
    all: bool
    """Whether no dependents are left to handle."""


def follow_edges(record: JobRecord, installation: Installation) -> Followed:
    """Release the dependents of an ended job, or cancel them; a limited number per call.

    A failure with one of them does not hold back the others.
    """
    unspent = [edge for edge in edges_of(record.id, installation) if not edge.spent]
    now = unspent[:_EDGES_AT_A_TIME]
    if record.state is State.COMPLETED:
        released = _release_dependents(now, record, installation)
        return Followed(cancelled=(), all=released and len(now) == len(unspent))
    followed, cancelled = _cancel_dependents(now, record, installation)
    return Followed(cancelled=cancelled, all=followed and len(now) == len(unspent))


def _release_dependents(
    edges: Sequence[Edge], antecedent: JobRecord, installation: Installation
) -> bool:
    """Release dependents, send messages for the free ones together, and mark the edges as spent."""
    released: list[tuple[Edge, JobRecord | None]] = []
    left_out = 0
    for edge in edges:
        try:
            released.append((edge, _release_one(edge, antecedent, installation)))
        except UnreadableItem as problem:
            # once it can be read, the scheduler's recheck releases it
            installation.skipped.add(problem)
            left_out += 1
        except Exception:
            log.exception(_NOT_FOLLOWED, edge.antecedent, extra={"job": edge.dependent})
    free = [one for _, one in released if one is not None and _only_waits_for_due_time(one)]
    # including dependents released before, perhaps by a process that died before sending
    send_and_look_at_all(free, installation)
    for edge, _ in released:
        installation.store.transact([_spend_step(edge, installation)])
    return len(released) + left_out == len(edges)


def _cancel_dependents(
    edges: Sequence[Edge], antecedent: JobRecord, installation: Installation
) -> tuple[bool, list[JobRecord]]:
    done, cancelled = True, []
    for edge in edges:
        try:
            ended = _cancel_one(edge, antecedent, installation)
        except UnreadableItem as problem:
            installation.skipped.add(problem)
            continue
        except Exception:
            log.exception(_NOT_FOLLOWED, edge.antecedent, extra={"job": edge.dependent})
            done = False
            continue
        if ended is not None:
            cancelled.append(ended)
    return done, cancelled


def _only_waits_for_due_time(record: JobRecord) -> bool:
    return record.state is State.WAITING and not (record.blocked or record.parked)


def follow(
    edge: Edge, antecedent: JobRecord | None, installation: Installation
) -> JobRecord | None:
    """Apply the end of a job to one dependent; return the dependent's record if this ended it."""
    if antecedent is not None and antecedent.state is State.COMPLETED:
        _release_dependents([edge], antecedent, installation)
        return None
    return _cancel_one(edge, antecedent, installation)


def _release_one(edge: Edge, antecedent: JobRecord, installation: Installation) -> JobRecord | None:
    """Remove the edge from what blocks the dependent; return the dependent as it is now."""
    now = installation.clock.now_ms()
    due = max(now, (antecedent.finished_ms or now) + (antecedent.delay_dependents_ms or 0))
    current: JobRecord | None = None
    actor = installation.actor
    for change in dependencies.releases(edge, now_ms=now, due_ms=due, actor=actor):
        outcome = installation.store.update(change)
        current = outcome.record
        if isinstance(outcome, Updated) or current is None:
            break
        if edge.antecedent not in (current.blocked or ()):
            break
    return current


def _cancel_one(
    edge: Edge, antecedent: JobRecord | None, installation: Installation
) -> JobRecord | None:
    state = "no longer exists" if antecedent is None else antecedent.state
    why = f"job {edge.antecedent}, which it depends on: {state}"
    store = installation.store
    for _ in range(_TRIES):
        record = store.get(edge.dependent)
        waits = record is not None and edge.antecedent in (record.blocked or ())
        if record is None or record.terminal or not waits:
            store.transact([_spend_step(edge, installation)])
            return None
        now = installation.clock.now_ms()
        # nobody here carries out the end of another queue's job: the next tick does, without grace
        ours = installation.may_send_to(record.queue)
        marked = None if ours else now - span_ms(GRACE)
        change = dependencies.cascade(
            edge, record, why=why, now_ms=now, marked_ms=marked, actor=installation.actor
        )
        end = successors.failed(record, change, installation)
        steps: list[Step] = [*end.steps, _spend_step(edge, installation)]
        if antecedent is not None:
            steps.append(dependencies.check_in_vain(antecedent))
        conflict = store.transact(steps)
        if conflict is None:
            successors.tell_of_successor(end, installation)
            ended = store.get(edge.dependent)
            # if it was restarted already, there is no end with consequences
            return ended if ended is not None and ended.terminal else None
        if conflict.step > 0:
            # one of the two was restarted meanwhile: the dependent now has a new edge, or the
            # antecedent's next end decides
            return None
    raise StoreUnavailable(f"job {edge.dependent} changed each time it was read to cancel it")


def _spend_step(edge: Edge, installation: Installation) -> Put:
    expires = installation.clock.now_ms() + 2 * span_ms(installation.retention)
    return dependencies.spend(edge, expires_s=expires // 1000)


def recheck(record: JobRecord, installation: Installation) -> list[JobRecord]:
    """Check what a blocked job waits for, in case a release was lost; return jobs this ended."""
    waited_for = sorted(one for one in record.blocked or () if not is_batch_id(one))
    rechecked = (
        recheck_batch(record, batch_id, installation)
        for batch_id in (record.blocked or frozenset()).difference(waited_for)
    )
    ended = [one for one in rechecked if one is not None]
    linked = _link_rest(record, waited_for, installation)
    found = {one.id: one for one in installation.store.get_many(waited_for)}
    for job_id in waited_for:
        try:
            # reading it alone raises, if it exists but cannot be read: then it has not ended
            antecedent = found.get(job_id) or installation.store.get(job_id)
        except UnreadableItem as problem:
            installation.skipped.add(problem)
            continue
        if antecedent is not None and not antecedent.terminal:
            continue
        edge = _stored_edge(record, job_id, installation)
        if edge is not None and (one := follow(edge, antecedent, installation)) is not None:
            ended.append(one)
    if record.linking is not None:
        _finish_if_linked(record, linked, installation)
    return ended


def _link_rest(
    record: JobRecord, waited_for: Sequence[str], installation: Installation
) -> frozenset[str]:
    """Store the edges that are missing; return the jobs that are known to have one now."""
    if record.linking is None:
        return frozenset()
    try:
        return link_rest(record, waited_for, installation)
    except Exception:
        # jobs that have ended are followed all the same; the next recheck tries again
        log.exception("edges of the job not stored; will be tried again", extra=log_fields(record))
        return frozenset()


def _finish_if_linked(
    record: JobRecord, linked: frozenset[str], installation: Installation
) -> None:
    """Note that no edge is missing, if each job that the dependent still waits for has one.

    A job that had ended when the edges were stored, and was restarted before its end was followed,
    has none.
    """
    now = installation.store.get(record.id)
    blocked = () if now is None else now.blocked or ()
    if all(one in linked or is_batch_id(one) for one in blocked):
        finish_linking(record, installation)


def _stored_edge(record: JobRecord, antecedent: str, installation: Installation) -> Edge | None:
    """The edge of a dependent; as it was to be stored, if the antecedent ended before that."""
    key = Edge(antecedent=antecedent, dependent=record.id, token="").key
    item = installation.store.item(key)
    if item is None and record.linking is not None:
        return Edge(
            antecedent=antecedent,
            dependent=record.id,
            token=record.linking,
            stored=False,
            quiet=True,
        )
    return None if item is None else _edge(antecedent, key.name, item, installation)
