"""What a child process does before it imports the tasks."""

from __future__ import annotations

from worker_container.chained_writes import mark_writes
from worker_container.logs import log_as_json


def prepare() -> None:
    log_as_json()
    mark_writes()
