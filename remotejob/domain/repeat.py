"""The repeat policy: how often, when and how long a job runs again after each end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from remotejob.domain.argument_checks import MOST, check_word, plain_text, plain_whole
from remotejob.domain.errors import InvalidData
from remotejob.domain.states import State
from remotejob.domain.text import cut, dumps, shown
from remotejob.domain.times import check_moment, check_timedelta, from_ms, to_ms

FOREVER: Final = None
"""For `times`, and `max_attempts` of `Retry`: no limit.
Source: job-collection, `Job.forever`."""

FOREVER_DATE: Final = None
"""For `until`: no end date. Source: job-collection, `Job.foreverDate`."""

_WAIT: Final = timedelta(minutes=5)
_SHORTEST_WAIT: Final = timedelta(seconds=1)
_LONGEST_WAIT: Final = timedelta(days=365)
_LONGEST_TEXT: Final = 200
_UTC: Final = "UTC"
_LONGEST_ERROR: Final = 300

OnFailure = Literal["continue", "stop"]
"""Whether a job that failed for good still runs the next time."""

_CONTINUE: Final = "continue"


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeat:
    """When a job runs again: some time after it ended, or on a schedule.

    A series of repeats ends after `times` or `until`, or when its next job is cancelled.

    `remotejob.jobs.coordination.cron` parses schedules and time zones, and refuses bad ones.

    Raises: InvalidData, if a value is invalid.
    Source: job-collection, `job.repeat`.
    """

    times: int | None = FOREVER
    """Runs after the first."""
    until: datetime | None = FOREVER_DATE
    """No run starts after this time."""
    wait: timedelta = _WAIT
    """From the end of a run to the next; must be left out with a schedule."""
    schedule: str | None = None
    """A cron expression of five fields, or "every 15 minutes", "every day at 9:30" and the like."""
    time_zone: str = _UTC
    """The schedule's time zone, by its IANA name: "Europe/Berlin"."""
    on_failure: OnFailure = _CONTINUE
    """"stop" ends the series when a run fails for good, as in job-collection."""

    def __post_init__(self) -> None:
        _check_types(self)
        for name in ("schedule", "time_zone", "on_failure"):
            # a subclass may behave in its own ways
            object.__setattr__(self, name, plain_text(getattr(self, name)))
        if self.times is not None and not 0 <= self.times <= MOST:
            raise InvalidData(
                f"times={shown(self.times)}: use at least 0 and at most {MOST}, or None for no "
                "limit"
            )
        if not _SHORTEST_WAIT <= self.wait <= _LONGEST_WAIT:
            raise InvalidData(f"wait={shown(self.wait)}: use 1 second to {_LONGEST_WAIT.days} days")
        if self.schedule is None:
            if self.time_zone != _UTC:
                raise InvalidData(
                    f"time_zone={shown(self.time_zone)}: a wait needs no time zone; leave it out, "
                    "or give a schedule"
                )
            return
        if self.wait != _WAIT:
            raise InvalidData(
                f"wait={shown(self.wait)} and schedule={self.schedule[:40]!r}: give only one of "
                "them"
            )
        for name, text in (("schedule", self.schedule), ("time_zone", self.time_zone)):
            if len(text) > _LONGEST_TEXT:
                raise InvalidData(f"{name}={text[:40]!r}…: use at most {_LONGEST_TEXT} characters")

    def __str__(self) -> str:
        when = f"{self.wait} after each run" if self.schedule is None else self.schedule
        zone = "" if self.time_zone == _UTC else f" ({self.time_zone})"
        times = "" if self.times is None else f", {self.times} times more"
        until = "" if self.until is None else f", until {self.until:%Y-%m-%d %H:%M %Z}"
        stops = ", stops on failure" if self.on_failure == "stop" else ""
        return f"{when}{zone}{times}{until}{stops}"

    def to_json(self) -> str:
        """The policy as stored, without defaults."""
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
        if self.on_failure != _CONTINUE:
            stored["f"] = self.on_failure
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
            # a record of an earlier version has none: it goes on, too
            on_failure=stored.get("f", _CONTINUE),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PreviousRun:
    """How the job that a job repeats ended."""

    state: State
    at: datetime
    error: str | None = None
    """Kind and message of the error; None if it completed."""

    def __str__(self) -> str:
        why = "" if self.error is None else f": {self.error}"
        return f"{self.state} {self.at:%Y-%m-%d %H:%M:%S %Z}{why}"

    def to_json(self) -> str:
        error = None if self.error is None else cut(self.error, _LONGEST_ERROR)
        return dumps([self.state, to_ms(self.at), *([] if error is None else [error])])

    @classmethod
    def from_json(cls, text: str) -> PreviousRun:
        state, at_ms, *error = json.loads(text)
        return cls(state=State(state), at=from_ms(at_ms), error=error[0] if error else None)


def _check_types(repeat: Repeat) -> None:
    times: object = repeat.times
    if times is not None and plain_whole(times) is None:
        raise InvalidData(f"times={shown(times)}: use a whole number, or None for no limit")
    if repeat.until is not None:
        check_moment("until", repeat.until)
    check_timedelta("wait", repeat.wait)
    if repeat.schedule is not None and plain_text(repeat.schedule) is None:
        raise InvalidData(
            f"schedule={shown(repeat.schedule)}: write 'every 15 minutes', 'every day at 09:30', "
            "or a cron expression such as '30 9 * * 1-5'"
        )
    check_word("on_failure=", repeat.on_failure, get_args(OnFailure), error=InvalidData)
    if plain_text(repeat.time_zone) is None:
        raise InvalidData(
            f"time_zone={shown(repeat.time_zone)}: use its IANA name, such as 'Europe/Berlin' or "
            "'UTC'"
        )
