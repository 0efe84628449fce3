"""Files of a run that are stored again and again while S3 is away: hours of work hang on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, Protocol, TypeVar

from remotejob.ports import Installation
from remotejob.worker.outage import Troubles, pause_after

T = TypeVar("T")

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 15.0
_FIRST_REFUSED: Final = 400
_FIRST_FAILED: Final = 500
_ASKED_TOO_SOON: Final = (408, 429)
_OF_CONNECTIONS: Final = frozenset(
    {"HTTPClientError", "ResponseStreamingError", "IncompleteReadError", "CredentialRetrievalError"}
)
"""botocore's classes, known by their names: only a backend imports it."""


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


def until_answered(
    run: Interruptible, request: Callable[[], T], *, what: str, stubborn: bool = False
) -> T:
    """Make a request of a file, again and again, later each time.

    Where nobody answers, or S3 says that it has failed, until the run must stop; `stubborn`: where
    it says no as well, for as long as a lease lasts. `what` is a phrase for the log.
    Raises: RunInterrupted, when the run must stop; what S3 raised.
    """
    clock = run.installation.clock
    end = clock.monotonic() + run.lease_length.total_seconds()
    troubles: Troubles | None = None
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
            troubles = troubles or Troubles(clock)
            troubles.failed(what, problem, **run.log_fields)
            clock.sleep(timedelta(seconds=pause))
            run.check()
        else:
            if troubles is not None:
                troubles.over(what)
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
