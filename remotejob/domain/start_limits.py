"""Until when a run of a job may begin.

A job's limit comes from its `expires` and from the `until` of its retry policy, whichever is
earlier. It is computed once, when the job is submitted, and the claim's condition compares it with
the worker's clock. A job whose time is over ends failed (see `domain.missed`).

An `expires` that is a `timedelta` counts from the job's due time. A job that waits for others is
due once they are done, so its limit is not known before: the record says so with `FROM_DUE`, which
refuses the first claim, and the worker then claims with the limit that the record gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from remotejob.domain.argument_checks import is_a
from remotejob.domain.errors import InvalidData
from remotejob.domain.record import JobRecord
from remotejob.domain.retry import Retry
from remotejob.domain.text import shown
from remotejob.domain.times import check_moment, from_ms, span_ms, to_ms

FROM_DUE: Final = 0
"""Instead of a limit: it is counted from the due time, which is not known yet."""

LIFTED_MS: Final = 253_402_300_799_999
"""Instead of a limit, the end of the year 9999: a person has lifted it, the task's own included."""

LONGEST: Final = timedelta(days=36_500)

JOB_EXPIRED: Final = "JobExpired"
"""Kind of the failure of a job of which no run began in time."""

Expires = timedelta | datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class StartLimit:
    """The fields of a record that limit when its runs may begin."""

    start_by_ms: int | None = None
    start_in_ms: int | None = None


def check_expires(expires: object) -> Expires:
    """Check an `expires`. Raises: InvalidData."""
    if is_a(expires, datetime):
        return check_moment("expires", expires)
    if not is_a(expires, timedelta):
        raise InvalidData(
            f"expires={shown(expires)}: use a timedelta, from when the job may begin, or an aware "
            "datetime"
        )
    assert isinstance(expires, timedelta)
    if not timedelta(milliseconds=1) <= expires <= LONGEST:
        raise InvalidData(
            f"expires={shown(expires)}: use a timedelta of more than 0 and up to {LONGEST.days} "
            "days; leave it out for a job that may begin at any time"
        )
    return expires


def start_limit(
    expires: Expires | None, retry: Retry | None, *, due_ms: int, blocked: bool
) -> StartLimit:
    """The limit of a new job that is due then; `blocked` if it waits for other jobs as well."""
    until = _until_ms(retry)
    if expires is None:
        return StartLimit(start_by_ms=until)
    if isinstance(expires, datetime):
        return StartLimit(start_by_ms=_earlier(_stored_ms(expires), until))
    within = span_ms(expires)
    by = FROM_DUE if blocked else limit_from_due(within, retry, due_ms=due_ms)
    return StartLimit(start_by_ms=by, start_in_ms=within)


def limit_from_due(start_in_ms: int, retry: Retry | None, *, due_ms: int) -> int:
    """The limit that counts from the due time, or the policy's `until` if that is earlier."""
    until = _until_ms(retry)
    return due_ms + start_in_ms if until is None else min(due_ms + start_in_ms, until)


def limit_again(record: JobRecord, retry: Retry | None, *, due_ms: int) -> StartLimit:
    """The limit of a new job like this one: a span counts anew, a fixed time only if it is ahead.

    `retry` is the new job's policy.
    """
    if record.start_in_ms is not None:
        by = limit_from_due(record.start_in_ms, retry, due_ms=due_ms)
        return StartLimit(start_by_ms=by, start_in_ms=record.start_in_ms)
    fixed = fixed_expiry_ms(record)
    ahead = fixed if fixed is not None and fixed > due_ms else None
    return StartLimit(start_by_ms=_earlier(ahead, _until_ms(retry)))


def fixed_expiry_ms(record: JobRecord) -> int | None:
    """The `expires` of a job that was given as a date, unless its `Retry.until` is earlier."""
    by = record.start_by_ms
    if record.start_in_ms is not None or by == LIFTED_MS or by == _until_ms(record.retry):
        return None
    return by


def last_start_ms(record: JobRecord) -> int | None:
    """Until when a run of this job may begin; None if there is no limit, or none is known yet."""
    by = record.start_by_ms
    if by is None or by == LIFTED_MS:
        return None
    if by != FROM_DUE:
        return by
    if record.blocked or record.start_in_ms is None:
        return None
    due_ms = record.due_ms or record.created_ms
    return limit_from_due(record.start_in_ms, record.retry, due_ms=due_ms)


def limit_of_restarted(record: JobRecord, retry: Retry | None, *, now_ms: int) -> int | None:
    """The limit of a job that a person restarts; None for no field.

    One that is over is lifted, because the person wants the job to run; one that is ahead stays.
    `retry` replaces the job's policy, and its `until` replaces the old one's.
    """
    by, last = record.start_by_ms, last_start_ms(record)
    expired = bool(record.errors) and record.errors[-1].kind == JOB_EXPIRED
    if by == LIFTED_MS or expired or (last is not None and last < now_ms):
        return LIFTED_MS
    if retry is None:
        # only workers know the `until` of the task's policy, and it may be over
        return LIFTED_MS if by is None and record.retry_json is None else by
    if by is not None and by == _until_ms(record.retry):
        by = None
    return by if by == FROM_DUE else _earlier(by, _until_ms(retry))


def limit_when_due(record: JobRecord, due_ms: int) -> int | None:
    """The limit of a job that a person gives another due time; None if it keeps its own.

    A span counts from that time. A fixed limit before it is lifted: the person wants it to run.
    """
    by = record.start_by_ms
    if by is None or by in (FROM_DUE, LIFTED_MS):
        return None
    if record.start_in_ms is not None:
        by = limit_from_due(record.start_in_ms, record.retry, due_ms=due_ms)
    assert by is not None
    by = LIFTED_MS if by < due_ms else by
    return None if by == record.start_by_ms else by


def counts_from_due(record: JobRecord) -> bool:
    """Whether its limit is not in the record yet, so that a claim has to write it."""
    return record.start_by_ms == FROM_DUE


def limit_to_write(record: JobRecord) -> int | None:
    """The limit that a change writes before it moves the due time; None if it is written."""
    return last_start_ms(record) if counts_from_due(record) else None


def until_over_ms(record: JobRecord, retry: Retry, *, now_ms: int) -> int | None:
    """The `until` of the task's own policy, if it applies to this job and is over."""
    if record.retry_json is not None or record.start_by_ms == LIFTED_MS:
        return None
    until = _until_ms(retry)
    return until if until is not None and until < now_ms else None


def too_late(record: JobRecord, *, now_ms: int, skew_ms: int) -> bool:
    """Whether no run of this job may begin any more, by any clock."""
    last = last_start_ms(record)
    return last is not None and last + skew_ms < now_ms


def limit_name(record: JobRecord, limit_ms: int) -> str:
    """What the limit of a job comes from."""
    return "`until` of its retry policy" if _until_ms(record.retry) == limit_ms else "its `expires`"


def in_words(limit_ms: int) -> str:
    return f"{from_ms(limit_ms):%Y-%m-%d %H:%M:%S} UTC"


def _until_ms(retry: Retry | None) -> int | None:
    return None if retry is None or retry.until is None else _stored_ms(retry.until)


def _stored_ms(moment: datetime) -> int:
    """A time as a record has it; one before 1970 is over all the same, and is no `FROM_DUE`."""
    return max(to_ms(moment), FROM_DUE + 1)


def _earlier(one: int | None, other: int | None) -> int | None:
    known = [at for at in (one, other) if at is not None]
    return min(known) if known else None
