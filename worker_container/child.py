"""What a child process does before it imports the tasks."""

from __future__ import annotations

from worker_container.chained_writes import mark_writes
from worker_container.logs import log_to_worker


def prepare() -> None:
    log_to_worker()
    mark_writes()
