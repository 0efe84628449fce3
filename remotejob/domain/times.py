"""Times: aware `datetime` and `timedelta` in Python, whole milliseconds in storage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from remotejob.domain.argument_checks import check_kind, is_a
from remotejob.domain.errors import InvalidData
from remotejob.domain.text import shown

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch, rounded down. Raises: ValueError, if it has no time zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; give it one")
    return (moment - _EPOCH) // _MILLISECOND


def check_moment(name: str, value: object) -> datetime:
    """Check a `datetime` with a time zone. Raises: InvalidData, if it is anything else."""
    if not is_a(value, datetime):
        raise InvalidData(
            f"{name}={shown(value)}: use a datetime with a time zone, such as datetime(2026, 1, "
            "31, 9, tzinfo=UTC)"
        )
    try:
        aware = value.utcoffset() is not None
        if aware:
            # its milliseconds must have a date in UTC
            value.astimezone(UTC)
    except Exception as problem:
        raise InvalidData(
            f"{name}={shown(value)}: not a time in UTC ({type(problem).__name__}); use one in the "
            "years 1 to 9999"
        ) from problem
    if not aware:
        raise InvalidData(f"{name}={shown(value)}: give it a time zone")
    return value


def check_timedelta(name: str, value: object) -> timedelta:
    """Check a `timedelta`. Raises: InvalidData, if it is anything else."""
    return check_kind(
        name, value, timedelta, remedy="use a timedelta, such as timedelta(seconds=5)"
    )


def from_ms(milliseconds: int) -> datetime:
    return _EPOCH + milliseconds * _MILLISECOND


def span_ms(span: timedelta) -> int:
    return span // _MILLISECOND
