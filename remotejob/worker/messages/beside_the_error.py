"""Logs what goes wrong around a run's outcome, so that the outcome is recorded all the same.

Between the end of a task and the commit, other code runs: a retry policy, a schedule, a report, the
task's own loggers. If one of them raised from there, nothing would be recorded, the lease would
end, and the job would fail with "the worker died" instead of its own reason.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Final, TypeVar

from remotejob.domain.text import cut, kind_of, said_by
from remotejob.worker.runs.run import Run

T = TypeVar("T")

log = logging.getLogger(__name__)

_LONGEST: Final = 300


def made_or(otherwise: T, make: Callable[[], T], *, run: Run, what: str) -> T:
    """What `make` returns; `otherwise` if it raises, with a line in the worker's and the job's log.

    `what` says what could not be done, such as "its retry policy cannot be applied".
    """
    try:
        return make()
    except Exception as problem:
        told = f"{what}: {kind_of(problem)}: {cut(said_by(problem), _LONGEST)}"
        # nor may a handler, a filter or the report itself
        with contextlib.suppress(Exception):
            log.exception("%s", told, extra=run.context.fields)
        with contextlib.suppress(Exception):
            run.report_line("danger", told, None)
        return otherwise
