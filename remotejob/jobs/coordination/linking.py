"""Stores the edges of a dependent with more antecedents than one transaction takes.

Its record is stored first, blocked by all of them, and says that edges are missing (`linking`). So
it cannot begin early, and if this process dies on the way, the scheduler stores the rest when it
re-checks the blocked job.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from remotejob.domain import dependencies
from remotejob.domain.batches import is_batch_id
from remotejob.domain.dependencies import EDGES_AT_A_TIME, LINES_OF_EDGES
from remotejob.domain.record import JobRecord
from remotejob.jobs.messaging.log_fields import log_fields
from remotejob.ports import Installation

log = logging.getLogger(__name__)


def link(
    record: JobRecord,
    antecedents: Sequence[str],
    installation: Installation,
    *,
    told: int = LINES_OF_EDGES,
) -> frozenset[str]:
    """Store the edges to these jobs; return those that have one now.

    One that has ended gets none. What its end does to the dependent is left to the scheduler: who
    submits may have no permission to cancel. The releases of the first `told` are lines in the log.
    """
    assert record.linking is not None
    check = dependencies.check_linking(record.id, token=record.linking)
    linked: set[str] = set()
    for start in range(0, len(antecedents), EDGES_AT_A_TIME):
        left = list(antecedents[start : start + EDGES_AT_A_TIME])
        while left:
            edges = dependencies.edges_to_put(
                record.id, left, token=record.linking, told=0 if start else told
            )
            conflict = installation.store.transact([check, *edges])
            if conflict is None:
                linked.update(left)
                break
            if conflict.step == 0:
                # it has ended, or its edges were stored by another process
                return frozenset(linked)
            # each antecedent has two steps, after the check
            del left[(conflict.step - 1) // 2]
    return frozenset(linked)


def link_rest(
    record: JobRecord, antecedents: Sequence[str], installation: Installation
) -> frozenset[str]:
    """Store the edges that may be missing, to those of these jobs that have not ended.

    Returns the jobs that have an edge now. Their releases are quiet: this may be repeated, and each
    time the first would be others.
    """
    found = {one.id: one for one in installation.store.get_many(antecedents)}
    not_ended = [one for one in antecedents if one in found and not found[one].terminal]
    return link(record, not_ended, installation, told=0)


def finish_linking(record: JobRecord, installation: Installation) -> None:
    """Note that no edge is missing any longer."""
    assert record.linking is not None
    installation.store.update(dependencies.linked(record.id, token=record.linking))


def try_to_link(record: JobRecord, installation: Installation) -> None:
    """Store the edges of a dependent that was just stored, if any are missing.

    It raises nothing: the job is stored, and an error would have it submitted again.
    """
    if record.linking is None:
        return
    jobs = sorted(one for one in record.blocked or () if not is_batch_id(one))
    try:
        if link(record, jobs, installation).issuperset(jobs):
            finish_linking(record, installation)
    except Exception:
        log.warning(
            "not all edges of the job are stored; the scheduler stores the others within minutes",
            exc_info=True,
            extra=log_fields(record),
        )
