"""Jobs that run alone: a death in company may be another job's doing.

A lease that ends does not say which of a worker's jobs took the worker down: it counts as a crash
of each. The run whose death would spend a job's crash budget therefore has its worker to itself:
that death is the job's own.

    A  runs J, K ── (K takes it down) ──────────────── each has one crash
    B                 runs J, K ── (K does it again) ─ each has two
    C                               runs J alone ✓ ──────── completed
    D                               runs K alone ── (it dies) ── K has three: failed
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from remotejob.domain.changes import Change, Condition
from remotejob.domain.claim_decisions import CRASH_BUDGET
from remotejob.domain.conditions import Absent, All, AtMost, Either
from remotejob.domain.record import JobRecord
from remotejob.domain.run_changes import CLAIM
from remotejob.domain.states import State
from remotejob.names import Field

MOST_CRASHES: Final = CRASH_BUDGET - 2
"""Crashes of a job that may run next to others: one more leaves it a last run."""

CLAIM_IN_COMPANY: Final = Condition(
    name="claim_in_company",
    # As a claim. A worker learns from the refusal that the job has to run alone:
    #     A  runs others ── claims J ✗ (two crashes) ── waits for their end ── claims J ✓
    expression=All(
        CLAIM.expression,
        Either(
            Absent(Field.CRASHES),
            AtMost(Field.CRASHES, "no_crashes"),
            All(Absent(Field.CRASH_LIMIT), AtMost(Field.CRASHES, "most_crashes")),
        ),
    ),
)


def runs_alone(record: JobRecord) -> bool:
    """Whether the next run of a job must have its worker to itself."""
    lapsed = record.state is State.RUNNING and not record.lost
    return record.crashes + lapsed > _most_crashes(record)


def may_have_company(record: JobRecord) -> bool:
    """Whether the run that has this record may have had others beside it."""
    return record.crashes <= _most_crashes(record)


def _most_crashes(record: JobRecord) -> int:
    # a job that has its own limit runs alone after its first death: the claim, which is made
    # without a look at the record, need not know the limit
    return MOST_CRASHES if record.crash_limit is None else 0


def in_company(claim: Change) -> Change:
    """A claim that is refused for a job that must run alone."""
    return replace(
        claim,
        condition=CLAIM_IN_COMPANY,
        values={**claim.values, "most_crashes": MOST_CRASHES, "no_crashes": 0},
    )
