"""Echoes the log lines and progress of jobs in their worker's log. Off until you set its level:

    logging.getLogger("remotejob.job").setLevel("WARNING")

Source: job-collection, `echo` of `job.log` and `job.progress`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from remotejob.domain.job_log import Level
from remotejob.domain.record import JobRecord
from remotejob.jobs.messaging.log_fields import log_fields

_LEVELS: Final[Mapping[Level, int]] = MappingProxyType(
    {
        "info": logging.INFO,
        "success": logging.INFO,
        "warning": logging.WARNING,
        "danger": logging.ERROR,
    }
)

_log: Final = logging.getLogger("remotejob.job")
if _log.level == logging.NOTSET:
    # off by default: a worker logs at INFO, and a job's lines are stored with the job anyway
    _log.setLevel(logging.CRITICAL + 1)


def echo_line(record: JobRecord, level: Level, message: str, data: Any) -> None:
    """Log a line that a job logged."""
    _log.log(_LEVELS[level], "%s", message, extra={**log_fields(record), "data": data})


def echo_progress(record: JobRecord, done: float, total: float) -> None:
    """Log a job's progress, with level `info`."""
    _log.info("%g of %g done", done, total, extra=log_fields(record))
