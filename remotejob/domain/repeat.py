"""How often, how late and for how long a job that completed is run again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from remotejob.domain.errors import InvalidData
from remotejob.domain.times import check_moment, check_timedelta, from_ms, to_ms

FOREVER: Final = None
"""For `times`, and for `max_attempts` of `Retry`: no count ends it.
Source: job-collection, `Job.forever`."""

FOREVER_DATE: Final = None
"""For `until`: no date ends it. Source: job-collection, `Job.foreverDate`."""

_WAIT: Final = timedelta(minutes=5)
_SHORTEST_WAIT: Final = timedelta(seconds=1)
_LONGEST_WAIT: Final = timedelta(days=365)
_LONGEST_TEXT: Final = 200
_UTC: Final = "UTC"


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeat:
    """When a job runs again: some time after it completed, or by the clock.

    `remotejob.jobs.submission.cron` reads schedules and time zones, and refuses bad ones.

    Raises: InvalidData, when a value makes no sense.
    Source: job-collection, `job.repeat`.
    """

    times: int | None = FOREVER
    """Runs after the first."""
    until: datetime | None = FOREVER_DATE
    """No run begins after this time."""
    wait: timedelta = _WAIT
    """Between the end of a run and the next; without meaning beside a schedule."""
    schedule: str | None = None
    """A cron expression of five fields, or the like of "every 15 minutes" and "every day at 9:30".
    """
    time_zone: str = _UTC
    """By whose clock the schedule is read, as IANA names it: "Europe/Berlin"."""

    def __post_init__(self) -> None:
        _check_types(self)
        if self.times is not None and self.times < 0:
            raise InvalidData(f"times={self.times!r}: at least 0, or None for ever")
        if not _SHORTEST_WAIT <= self.wait <= _LONGEST_WAIT:
            raise InvalidData(f"wait={self.wait!r}: between a second and {_LONGEST_WAIT.days} days")
        if self.schedule is None:
            if self.time_zone != _UTC:
                raise InvalidData(
                    f"time_zone={self.time_zone!r}: a wait is as long in any zone; leave it out,"
                    " or give a schedule"
                )
            return
        if self.wait != _WAIT:
            raise InvalidData(
                f"wait={self.wait!r} and schedule={self.schedule[:40]!r}: give one of the two"
            )
        for name, text in (("schedule", self.schedule), ("time_zone", self.time_zone)):
            if len(text) > _LONGEST_TEXT:
                raise InvalidData(f"{name}={text[:40]!r}…: at most {_LONGEST_TEXT} characters")

    def __str__(self) -> str:
        when = f"{self.wait} after each run" if self.schedule is None else self.schedule
        zone = "" if self.time_zone == _UTC else f" ({self.time_zone})"
        times = "" if self.times is None else f", {self.times} times more"
        until = "" if self.until is None else f", until {self.until:%Y-%m-%d %H:%M %Z}"
        return f"{when}{zone}{times}{until}"

    def to_json(self) -> str:
        """As it is stored, without what is left at its default."""
        stored: dict[str, object] = {}
        if self.times is not None:
            stored["n"] = self.times
        if self.until is not None:
            stored["u"] = to_ms(self.until)
        if self.wait != _WAIT:
            stored["w"] = self.wait / timedelta(milliseconds=1)
        if self.schedule is not None:
            stored["s"] = self.schedule
        if self.time_zone != _UTC:
            stored["z"] = self.time_zone
        return json.dumps(stored, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Repeat:
        stored = json.loads(text)
        until = stored.get("u")
        return cls(
            times=stored.get("n"),
            until=None if until is None else from_ms(until),
            wait=timedelta(milliseconds=stored["w"]) if "w" in stored else _WAIT,
            schedule=stored.get("s"),
            time_zone=stored.get("z", _UTC),
        )


def _check_types(repeat: Repeat) -> None:
    times: object = repeat.times
    if times is not None and (not isinstance(times, int) or isinstance(times, bool)):
        raise InvalidData(f"times={times!r}: use a whole number, or None for ever")
    if repeat.until is not None:
        check_moment("until", repeat.until)
    check_timedelta("wait", repeat.wait)
    if repeat.schedule is not None and not isinstance(repeat.schedule, str):
        raise InvalidData(
            f"schedule={repeat.schedule!r}: write 'every 15 minutes', 'every day at 09:30', or what"
            " cron takes, '30 9 * * 1-5'"
        )
    if not isinstance(repeat.time_zone, str):
        raise InvalidData(
            f"time_zone={repeat.time_zone!r}: use its IANA name, such as 'Europe/Berlin' or 'UTC'"
        )
