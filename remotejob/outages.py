"""Waits out outages: how long to wait before each retry, and how rarely to log it."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol, TypeVar

from remotejob.domain.text import cut, kind_of, said_by
from remotejob.domain.throttling import is_key_throttled
from remotejob.ports import Clock, Installation

log = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_QUIET: Final = 15.0
_LONGEST_QUIET: Final = 600.0
"""Seconds between two log lines about the same failure; after that long without one, it is news."""

_LONGEST_LOGGED: Final = 500
_MOST_DOUBLINGS: Final = 20

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 15.0
_REFUSED_FROM: Final = 400
_FAILED_FROM: Final = 500
_RETRYABLE_REFUSALS: Final = (408, 429)
_CONFLICT: Final = "ConditionalRequestConflict"
"""Another write of the same key is under way: an earlier try of this one, of which nobody heard.
Source: Amazon S3 User Guide, "Conditional write behavior"."""
_CONNECTION_ERRORS: Final = frozenset(
    {"HTTPClientError", "ResponseStreamingError", "IncompleteReadError", "CredentialRetrievalError"}
)
"""botocore's classes, by name: only backends import botocore."""


def pause_after(failures: int, *, first: float, longest: float) -> float:
    """Seconds to wait after that many failures in a row, from 1: longer each time, with jitter,
    because an outage makes all workers retry in step."""
    wait = min(longest, first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))
    return wait * random.uniform(0.5, 1)  # noqa: S311 (nobody gains by guessing it)


@dataclass(slots=True)
class _Trouble:
    """One operation that fails."""

    in_a_row: int = 0
    since: float = 0.0
    failed_at: float | None = None
    logged_at: float = 0.0
    quiet: float = _FIRST_QUIET
    logged: bool = False
    """Whether this row of failures was logged, so that its end must be logged too."""

    def due(self, now: float) -> bool:
        """Whether to log the failure that happened now."""
        if self.failed_at is None or now - self.failed_at > _LONGEST_QUIET:
            self.quiet = _FIRST_QUIET
            return True
        if now - self.logged_at < self.quiet:
            return False
        self.quiet = min(_LONGEST_QUIET, 2 * self.quiet)
        return True


class OutageLog:
    """Counts failures by operation; logs the first, then fewer and fewer, and their end.

    An operation that fails on and off is logged no more often. Thread-safe.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Trouble] = {}

    def failed(self, what: str, problem: BaseException, **about: Any) -> int:
        """Note a failure of `what`, a phrase such as "extend a lease"; return how many in a row."""
        now = self._clock.monotonic()
        with self._lock:
            trouble = self._known.setdefault(what, _Trouble())
            if trouble.in_a_row == 0:
                trouble.since = now
            trouble.in_a_row += 1
            count = trouble.in_a_row
            due = trouble.due(now)
            if due:
                trouble.logged_at, trouble.logged = now, True
            trouble.failed_at = now
        if due:
            log.error(
                "cannot %s (%d in a row): %s: %s",
                what,
                count,
                kind_of(problem),
                cut(said_by(problem), _LONGEST_LOGGED),
                extra=about,
            )
        return count

    def over(self, what: str) -> None:
        """Note that `what` works again."""
        # called after every success: take no lock if nothing has failed
        trouble = self._known.get(what)
        if trouble is None or trouble.in_a_row == 0:
            return
        with self._lock:
            count, trouble.in_a_row = trouble.in_a_row, 0
            logged, trouble.logged = trouble.logged, False
            lasted = self._clock.monotonic() - trouble.since
        if logged and count:
            log.info("can %s again, after %d failures in %.0f s", what, count, lasted)


class Interruptible(Protocol):
    """The part of a run that retries use: they end when it must stop."""

    @property
    def installation(self) -> Installation: ...
    @property
    def lease_length(self) -> timedelta: ...
    @property
    def log_fields(self) -> Mapping[str, Any]:
        """The log fields of its job."""
        ...

    def check(self) -> None:
        """Raises: RunInterrupted, when the run must stop."""
        ...


def retry_while_unavailable(
    run: Interruptible, request: Callable[[], T], *, what: str, stubborn: bool = False
) -> T:
    """Make a request to S3, and retry it with backoff while S3 is unavailable.

    It retries until the run must stop, if nobody answers or S3 reports a failure of its own.
    `stubborn` also retries refusals, for the length of a lease. `what` is a phrase for the log.

    Raises: RunInterrupted, when the run must stop; S3's error.
    """
    clock = run.installation.clock
    end = clock.monotonic() + run.lease_length.total_seconds()
    outages: OutageLog | None = None
    failures = 0
    while True:
        try:
            answer = request()
        except Exception as problem:
            # report a lost or expired lease rather than this error
            run.check()
            failures += 1
            pause = pause_after(failures, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
            if not is_outage(problem) and (not stubborn or clock.monotonic() + pause >= end):
                raise
            outages = outages or OutageLog(clock)
            outages.failed(what, problem, **run.log_fields)
            clock.sleep(timedelta(seconds=pause))
            run.check()
        else:
            if outages is not None:
                outages.over(what)
            return answer


def is_outage(problem: BaseException) -> bool:
    """Whether the service did not answer or failed itself, rather than refused the request."""
    if isinstance(problem, ConnectionError | TimeoutError):
        return True
    response = getattr(problem, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", _REFUSED_FROM)
        if status >= _FAILED_FROM or status in _RETRYABLE_REFUSALS:
            return True
        code = response.get("Error", {}).get("Code")
        return is_key_throttled(code) or code == _CONFLICT
    return any(kind.__name__ in _CONNECTION_ERRORS for kind in type(problem).__mro__)
