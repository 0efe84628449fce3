"""What a queue has spent of its daily budget, and whether it is paused for that."""

from __future__ import annotations

from datetime import date
from typing import Final

from remotejob.domain.budgets import (
    KEPT,
    MICRODOLLARS,
    Spent,
    day_of,
    overspent,
    spent_key,
)
from remotejob.domain.changes import EXISTS, Condition
from remotejob.domain.conditions import Value
from remotejob.domain.times import span_ms
from remotejob.domain.transactions import ABSENT, Count, Put
from remotejob.jobs.queries.prices import Prices, worker_hour
from remotejob.names import Field
from remotejob.ports import Installation, QueueDescription, WorkerSize

_UNITS_OF_A_JOB: Final = 3
"""Write units of a plain job: submit, claim and commit."""

_REQUESTS_OF_A_JOB: Final = 0.4
"""Requests to SQS of a plain job: tenths for send, receive, delete and status."""

_BEGUN: Final = Condition(name="begun", expression=EXISTS)
"""The day has its item."""

_MILLION: Final = 1_000_000
_HOUR_S: Final = 3600


def paused_queues(installation: Installation) -> dict[str, str]:
    """Why queues are paused for the day, by name. One read for each queue that has a budget."""
    reasons = {
        name: pause_of(queue, installation)
        for name, queue in installation.queues.items()
        if queue.budget.limited
    }
    return {name: reason for name, reason in reasons.items() if reason is not None}


def pause_of(queue: QueueDescription, installation: Installation) -> str | None:
    """Why a queue is paused for the day; None if it is not. It reads only where there is a budget.

    Raises: boto3's errors, when AWS cannot be reached.
    """
    if not queue.budget.limited:
        return None
    spent = read_spent(queue.name, day_of(installation.clock.now_ms()), installation)
    return overspent(queue.name, queue.budget, spent)


def read_spent(queue: str, day: date, installation: Installation) -> Spent:
    return Spent.of(installation.store.item(spent_key(queue, day)))


def add_spent(queue: str, day: date, more: Spent, installation: Installation) -> None:
    """Add to what a queue has spent on a day; others may add at the same time."""
    key, store = spent_key(queue, day), installation.store
    add = {Field.RUNS: more.runs, Field.MICRODOLLARS: more.microdollars}
    count = Count(key=key, add=add, condition=_BEGUN)
    if store.transact([count]) is None:
        return
    # the first of the day; a count alone would create an item that never expires
    expires = (installation.clock.now_ms() + span_ms(KEPT)) // 1000
    content: dict[str, Value] = {str(field): by for field, by in add.items()}
    content[Field.EXPIRES] = expires
    first = Put(key=key, content=content, condition=ABSENT)
    if store.transact([first]) is not None:
        store.transact([count])


def dollars_of(
    *, runs: int, seconds: float, jobs_at_a_time: int, size: WorkerSize | None, prices: Prices
) -> float:
    """What a worker cost: its time, also while it was idle, and the requests of plain jobs.

    `jobs_at_a_time` is how many of the jobs that share a worker of that size this process runs.
    """
    requests = _UNITS_OF_A_JOB * prices.dynamodb_million_write_units
    requests += _REQUESTS_OF_A_JOB * prices.sqs_million_requests
    dollars = runs * requests / _MILLION
    if size is None:
        return dollars
    return dollars + worker_hour(size, prices) * seconds / _HOUR_S * jobs_at_a_time / size.jobs


def microdollars(dollars: float) -> int:
    return round(dollars * MICRODOLLARS)
