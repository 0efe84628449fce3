"""Waiting out an outage: how long to wait before each retry, and how seldom to log it."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol, TypeVar

from remotejob.domain.record import cut
from remotejob.ports import Clock, Installation

log = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_QUIET: Final = 15.0
_LONGEST_QUIET: Final = 600.0
"""Seconds between two lines about the same thing; what has not failed for so long is news again."""

_LONGEST_SAID: Final = 500
_MOST_DOUBLINGS: Final = 20

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 15.0
_FIRST_REFUSED: Final = 400
_FIRST_FAILED: Final = 500
_ASKED_TOO_SOON: Final = (408, 429)
_OF_CONNECTIONS: Final = frozenset(
    {"HTTPClientError", "ResponseStreamingError", "IncompleteReadError", "CredentialRetrievalError"}
)
"""botocore's classes, known by their names: only a backend imports it."""


def pause_after(failures: int, *, first: float, longest: float) -> float:
    """Seconds to wait after so many failures in a row, from 1: longer each time, and never the
    same for all workers, which an outage has brought into step."""
    wait = min(longest, first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))
    return wait * random.uniform(0.5, 1)  # noqa: S311 (nobody gains by guessing it)


@dataclass(slots=True)
class _Trouble:
    """One thing that fails."""

    in_a_row: int = 0
    since: float = 0.0
    failed_at: float | None = None
    said_at: float = 0.0
    quiet: float = _FIRST_QUIET
    told: bool = False
    """Whether the log has a line of this row of failures, and so is owed its end."""

    def due(self, now: float) -> bool:
        """Whether the failure of now is to be told."""
        if self.failed_at is None or now - self.failed_at > _LONGEST_QUIET:
            self.quiet = _FIRST_QUIET
            return True
        if now - self.said_at < self.quiet:
            return False
        self.quiet = min(_LONGEST_QUIET, 2 * self.quiet)
        return True


class OutageLog:
    """Counts failures by what failed, and logs the first, then ever fewer, and their end.

    What fails now and again, and works in between, is told no more often. Safe across threads.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, _Trouble] = {}

    def failed(self, what: str, problem: BaseException, **about: Any) -> int:
        """How often `what`, a phrase such as "extend a lease", has failed in a row."""
        now = self._clock.monotonic()
        with self._lock:
            trouble = self._known.setdefault(what, _Trouble())
            if trouble.in_a_row == 0:
                trouble.since = now
            trouble.in_a_row += 1
            count = trouble.in_a_row
            due = trouble.due(now)
            if due:
                trouble.said_at, trouble.told = now, True
            trouble.failed_at = now
        if due:
            log.error(
                "cannot %s (%d in a row): %s: %s",
                what,
                count,
                type(problem).__name__,
                cut(str(problem), _LONGEST_SAID),
                extra=about,
            )
        return count

    def over(self, what: str) -> None:
        """It works."""
        # what works is asked for each job: nothing is locked for what has not failed
        trouble = self._known.get(what)
        if trouble is None or trouble.in_a_row == 0:
            return
        with self._lock:
            count, trouble.in_a_row = trouble.in_a_row, 0
            told, trouble.told = trouble.told, False
            lasted = self._clock.monotonic() - trouble.since
        if told and count:
            log.info("can %s again, after %d failures in %.0f s", what, count, lasted)


class Interruptible(Protocol):
    """A run, as far as retries need it: they end when it must stop."""

    @property
    def installation(self) -> Installation: ...
    @property
    def lease_length(self) -> timedelta: ...
    @property
    def log_fields(self) -> Mapping[str, Any]:
        """What a log line says of its job."""
        ...

    def check(self) -> None:
        """Raises: RunInterrupted, when the run must stop."""
        ...


def retry_while_unavailable(
    run: Interruptible, request: Callable[[], T], *, what: str, stubborn: bool = False
) -> T:
    """Make a request of a file, again and again, later each time.

    Where nobody answers, or S3 says that it has failed, until the run must stop; `stubborn`: where
    it says no as well, for as long as a lease lasts. `what` is a phrase for the log.
    Raises: RunInterrupted, when the run must stop; what S3 raised.
    """
    clock = run.installation.clock
    end = clock.monotonic() + run.lease_length.total_seconds()
    outages: OutageLog | None = None
    failures = 0
    while True:
        try:
            answer = request()
        except Exception as problem:
            # a lease that has ended, or was lost, is the reason that counts
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
    """Whether it says that nobody answered, or that the service failed; not that it refused."""
    if isinstance(problem, ConnectionError | TimeoutError):
        return True
    said = getattr(problem, "response", None)
    if isinstance(said, dict):
        status = said.get("ResponseMetadata", {}).get("HTTPStatusCode", _FIRST_REFUSED)
        return status >= _FIRST_FAILED or status in _ASKED_TOO_SOON
    return any(kind.__name__ in _OF_CONNECTIONS for kind in type(problem).__mro__)
