"""What a child process does before it imports the tasks."""

from __future__ import annotations

from remotejob.container.chained_writes import mark_writes
from remotejob.container.logs import log_to_worker


def prepare() -> None:
    log_to_worker()
    mark_writes()
