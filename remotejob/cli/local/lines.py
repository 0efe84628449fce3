"""What the window of `remotejob local` says about each line of a worker's log.

Lines about a job begin with the end of its id. What a task printed or logged follows a bar, which
no line of our own has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from remotejob.cli.local.logs import LogLine
from remotejob.cli.visible import json_text, one_line

SHORT: Final = 6
"""Last characters of a job's id: they are random, and its first ones are the time."""
_OURS: Final = "remotejob."
"""How the names of our loggers begin. A child process cannot log under them."""
_ECHO: Final = ("remotejob.job", "task.remotejob.job")
"""What jobs log by `job.log`; the second one from a child process."""
_FAILED: Final = "run failed, "
_GIVEN_BACK: Final = ("run given back: ", "run stopped: ")
_CANNOT_START: Final = "the worker cannot start: "
_LEVELS: Final = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
_ODD: Final = re.compile(r"[\s\"\\]")
_LONGEST: Final = 4000
"""Characters of a line; the log has all of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A line to show."""

    job: str = ""
    """The short id; empty for a line about no job."""
    text: str
    style: str = ""
    of_task: bool = False
    """Whether a task wrote it, so that it is shown behind the bar."""


class JobLines:
    """Turns lines of logs into lines of the window. It remembers the files of the running jobs."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}

    def shown(self, line: LogLine) -> Shown | None:
        """What to show for a line of a log; None for nothing."""
        if not line.is_json:
            return Shown(text=f"worker of queue {line.queue}: {_cut(line.text('message'))}")
        if "_aws" in line.fields:
            return None
        logger = line.text("logger")
        if logger in _ECHO:
            # without data it is progress, of which there may be much
            return _of_task(line) if "data" in line.fields else None
        if not logger.startswith(_OURS):
            return _of_task(line)
        if job := line.text("job"):
            return self._of_job(line, job)
        style = _LEVELS.get(line.text("level"))
        # that it cannot start is said when it ends
        if style is None or line.text("message").startswith(_CANNOT_START):
            return None
        return Shown(text=f"worker of queue {line.queue}: {_with_error(line)}", style=style)

    def _of_job(self, line: LogLine, job: str) -> Shown | None:
        message, style = line.text("message"), _LEVELS.get(line.text("level"), "")
        match message:
            case "run begins":
                self._files[job] = line.text("file")
                attempt = line.fields.get("attempt", 1)
                said = f"begins: job {job}" if attempt == 1 else f"begins, attempt {attempt}"
            case "job completed":
                said, style = f"completed{_duration(line)}", "green"
            case _ if message.startswith(_FAILED):
                again = f", again at {clock_time(due)}" if (due := line.text("due")) else ""
                error = " ".join(message.partition(": ")[2].split())
                said, style = f"failed{_duration(line)}{again}: {error}", "yellow" if due else "red"
            case _ if message.startswith(_GIVEN_BACK):
                said = message.removeprefix("run ")
            case _ if style:
                said = _with_error(line)
            case _:
                return None
        named = " ".join(filter(None, (line.text("task"), _quoted(self._files.get(job, "")))))
        if not message.startswith("run begins"):
            self._files.pop(job, None)
        return Shown(job=one_line(job)[-SHORT:], text=f"{named} {said}", style=style)


def _quoted(name: str) -> str:
    """A file's name in quotes if it could be read as more of the line."""
    return json_text(name) if _ODD.search(name) else name


def clock_time(iso: str) -> str:
    """The local time of day of an ISO time."""
    try:
        return f"{datetime.fromisoformat(iso).astimezone():%H:%M:%S}"
    except ValueError:
        return iso


def _of_task(line: LogLine) -> Shown:
    job, text = line.text("job"), _with_error(line)
    return Shown(
        job=one_line(job)[-SHORT:],
        text=text if job else f"queue {line.queue}: {text}",
        style=_LEVELS.get(line.text("level"), ""),
        of_task=True,
    )


def _with_error(line: LogLine) -> str:
    return _cut("\n".join(filter(None, (line.text("message"), line.text("exc_info").strip()))))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _duration(line: LogLine) -> str:
    seconds = line.fields.get("ran_s")
    return f" in {seconds:.1f} s" if isinstance(seconds, int | float) else ""
