"""The retry policy: how often, when and how long a failed job runs again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from remotejob.domain.argument_checks import MOST, check_choice, check_kind, plain_whole
from remotejob.domain.errors import InvalidData
from remotejob.domain.text import shown
from remotejob.domain.times import check_moment, check_timedelta, from_ms, to_ms


class Backoff(StrEnum):
    """How the wait grows from one failure to the next. Source: job-collection, `job.retry`."""

    CONSTANT = "constant"
    """The same wait each time."""

    EXPONENTIAL = "exponential"
    """Twice the previous wait each time."""


_LONGEST_WAIT: Final = timedelta(days=365)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """A retry policy.

    Raises: InvalidData, if a value is invalid.
    Source: job-collection, `job.retry`; there `retries` counts the runs after the first.
    """

    max_attempts: int | None = 1
    """Runs that may fail, including the first; None for no limit (`FOREVER`)."""
    wait: timedelta = timedelta(minutes=5)
    """From a failure to the next run; with exponential backoff, before the second run."""
    backoff: Backoff | str = Backoff.CONSTANT
    """A `Backoff`, or its word: "constant" or "exponential"."""
    until: datetime | None = None
    """No run starts after this time."""

    def __post_init__(self) -> None:
        most = self.max_attempts
        if most is not None and not 1 <= (plain_whole(most) or 0) <= MOST:
            raise InvalidData(
                f"max_attempts={shown(most)}: use at least 1 and at most {MOST}, or None for no "
                "limit"
            )
        check_timedelta("wait", self.wait)
        if not timedelta(0) <= self.wait <= _LONGEST_WAIT:
            raise InvalidData(f"wait={shown(self.wait)}: use 0 to {_LONGEST_WAIT.days} days")
        if self.until is not None:
            check_moment("until", self.until)
        backoff = check_choice("backoff=", self.backoff, Backoff, error=InvalidData)
        object.__setattr__(self, "backoff", backoff)

    def next_run(self, *, failures: int, now: datetime) -> datetime | None:
        """When to run again after that many failures; None if no run is left."""
        if self.max_attempts is not None and failures >= self.max_attempts:
            return None
        wait = self.wait
        if self.backoff is Backoff.EXPONENTIAL:
            # compare before multiplying: a timedelta overflows early
            factor = 2 ** min(failures - 1, 64)
            too_long = self.wait and factor > _LONGEST_WAIT / self.wait
            wait = _LONGEST_WAIT if too_long else self.wait * factor
        at = now + wait
        return None if self.until is not None and at > self.until else at

    def to_json(self) -> str:
        """The policy as stored, without defaults."""
        stored: dict[str, object] = {}
        if self.max_attempts != _DEFAULT.max_attempts:
            stored["n"] = self.max_attempts
        if self.wait != _DEFAULT.wait:
            stored["w"] = self.wait / timedelta(milliseconds=1)
        if self.backoff is not _DEFAULT.backoff:
            stored["b"] = self.backoff
        if self.until is not None:
            stored["u"] = to_ms(self.until)
        return json.dumps(stored, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Retry:
        stored = json.loads(text)
        until = stored.get("u")
        return cls(
            max_attempts=stored.get("n", _DEFAULT.max_attempts),
            wait=timedelta(milliseconds=stored["w"]) if "w" in stored else _DEFAULT.wait,
            backoff=Backoff(stored.get("b", _DEFAULT.backoff)),
            until=None if until is None else from_ms(until),
        )


_DEFAULT: Final = Retry()


def check_retry(retry: object) -> Retry:
    """Check that a policy is one. Raises: InvalidData."""
    return check_kind("retry", retry, Retry, remedy="use Retry, such as Retry(max_attempts=3)")


NO_RETRY: Final = _DEFAULT
"""A single run: the default."""
