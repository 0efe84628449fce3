"""Times: aware `datetime` and `timedelta` in Python, whole milliseconds at the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch, rounded down. Raises: ValueError, without a time zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; give it one")
    return (moment - _EPOCH) // _MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    return _EPOCH + milliseconds * _MILLISECOND


def span_ms(span: timedelta) -> int:
    return span // _MILLISECOND
