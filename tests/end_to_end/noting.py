"""Hooks that write the events they get to a file."""

from __future__ import annotations

import os
from pathlib import Path

from remotejob import hooks
from tests.end_to_end.waiting import NOTED


@hooks.on("child_restarted")
def note_child(event: hooks.ChildEvent) -> None:
    _note(f"{event.event} {event.child.exit_code}")


@hooks.on("completed")
def note_job(event: hooks.JobEvent) -> None:
    _note(f"{event.event} {event.job.id}")


def _note(line: str) -> None:
    with Path(os.environ[NOTED]).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
