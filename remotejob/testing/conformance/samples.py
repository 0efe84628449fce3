"""Sample records in every state."""

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
    """An id; ids of one time and shard sort by `number`."""
    tail = number << 5 | shard
    return new_job_id(at_ms, lambda length: tail.to_bytes(length, "big"))


def ready(number: int = 0, **fields: Any) -> JobRecord:
    """A job that can run now."""
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
    """A waiting job that is due and has an attention mark."""
    record = ready(
        number,
        state=State.WAITING,
        due_ms=NOW,
        attention=attention_key(Attention.WAITING, job_id(number)),
        attention_ms=NOW + SECOND,
    )
    return replace(record, **fields)


def running(number: int = 0, **fields: Any) -> JobRecord:
    """A running job whose lease has just begun."""
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
    """A running job with an attention mark, whose lease and clock-skew margin have lapsed."""
    record = running(
        number,
        lease_ms=NOW - SKEW,
        attention=attention_key(Attention.RUNNING, job_id(number)),
        attention_ms=NOW,
    )
    return replace(record, **fields)


def failed(number: int = 0, **fields: Any) -> JobRecord:
    """A failed job that still owes its status message."""
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
    """A record in this state; nothing except the state can make a command refuse it."""
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
