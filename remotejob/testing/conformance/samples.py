"""Records in every state, for the suites to change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from remotejob.domain.ids import new_job_id
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.record import Failure, JobRecord
from remotejob.domain.states import State

NOW: Final = 1_768_478_400_000
"""Noon of 15 January 2026, UTC."""
SECOND: Final = 1000
LEASE: Final = 60 * SECOND
SKEW: Final = 2 * SECOND
RETENTION: Final = 24 * 3600 * SECOND
RUN: Final = "aaaaaaaaaaaaaaaa"
OTHER_RUN: Final = "bbbbbbbbbbbbbbbb"
TOKEN: Final = "cccccccccccccccc"
OTHER_TOKEN: Final = "dddddddddddddddd"


def job_id(number: int = 0, *, shard: int = 0, at_ms: int = NOW) -> str:
    """Ids of one time and shard, in the order of their numbers."""
    tail = number << 5 | shard
    return new_job_id(at_ms, lambda length: tail.to_bytes(length, "big"))


def ready(number: int = 0, **fields: Any) -> JobRecord:
    """A job to be run at once."""
    record = JobRecord(
        id=job_id(number),
        state=State.READY,
        task="work",
        queue="default",
        created_ms=NOW,
        updated_ms=NOW,
    )
    return replace(record, **fields)


def waiting(number: int = 0, **fields: Any) -> JobRecord:
    """A job that has become due, and is marked."""
    record = ready(
        number,
        state=State.WAITING,
        due_ms=NOW,
        attention=attention_key(Attention.WAITING, job_id(number)),
        attention_ms=NOW + SECOND,
    )
    return replace(record, **fields)


def running(number: int = 0, **fields: Any) -> JobRecord:
    """A job under a lease that has just begun."""
    record = ready(
        number,
        state=State.RUNNING,
        run_id=RUN,
        worker="w1",
        lease_ms=NOW + LEASE,
        started_ms=NOW,
        attempt=1,
    )
    return replace(record, **fields)


def silent(number: int = 0, **fields: Any) -> JobRecord:
    """A running job whose lease has lapsed, skew included, and which is marked."""
    record = running(
        number,
        lease_ms=NOW - SKEW,
        attention=attention_key(Attention.RUNNING, job_id(number)),
        attention_ms=NOW,
    )
    return replace(record, **fields)


def failed(number: int = 0, **fields: Any) -> JobRecord:
    """A job that ended failed, and owes its status message."""
    record = running(
        number,
        state=State.FAILED,
        lease_ms=None,
        finished_ms=NOW,
        failures=1,
        owed="status",
        attention=attention_key(Attention.OWED, job_id(number)),
        attention_ms=NOW,
    )
    return replace(record, **fields)


def in_state(state: State, **fields: Any) -> JobRecord:
    """A record of that state in which nothing but the state is in any command's way."""
    match state:
        case State.WAITING:
            return waiting(**fields)
        case State.RUNNING:
            return running(**fields)
        case State.FAILED:
            return failed(**fields)
        case State.COMPLETED | State.CANCELLED:
            ended = running(state=state, lease_ms=None, finished_ms=NOW)
            return replace(ended, **fields)
        case _:
            return ready(**{"state": state, **fields})


def failure(message: str = "it broke") -> Failure:
    return Failure(run_id=RUN, attempt=1, at_ms=NOW, kind="ValueError", message=message)
