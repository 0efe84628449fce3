"""Show failed jobs, grouped by error: jobs that fail alike are one fault."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from remotejob.cli.layout import Listing, Paragraph
from remotejob.client.job import Job
from remotejob.domain.text import counted

_SHOWN: Final = 5
"""Jobs shown of a group."""


def newest_first(jobs: Iterable[Job]) -> list[Job]:
    """Failed jobs, the latest failure first."""
    return sorted(jobs, key=_failed_at, reverse=True)


def by_error(jobs: Iterable[Job]) -> Group:
    """Failed jobs in groups of one kind and message: how many, the whole error, the newest jobs.

    The group with the latest failure comes first.
    """
    groups: defaultdict[str, list[Job]] = defaultdict(list)
    for job in newest_first(jobs):
        groups[_error(job)].append(job)
    parts: list[RenderableType] = []
    for error, group in groups.items():
        if parts:
            parts.append(Text())
        parts += _group(error, group)
    return Group(*parts)


def _group(error: str, jobs: list[Job]) -> list[RenderableType]:
    count = counted(len(jobs), "job")
    listing = Listing("job", "failed at", "input", "task")
    for job in jobs[:_SHOWN]:
        listing.add_row(
            job.id, f"{_failed_at(job):%Y-%m-%d %H:%M:%S}", job.filename or "", job.task
        )
    heading = Paragraph(text=error, style="red", label=Text(f"{count}: ", "bold"))
    parts: list[RenderableType] = [heading, listing]
    older = len(jobs) - _SHOWN
    if older > 0:
        parts.append(Text(f"and {older} older, which --json lists"))
    return parts


def _error(job: Job) -> str:
    if not job.errors:
        return "no error was recorded"
    return f"{job.errors[-1].kind}: {job.errors[-1].message}"


def _failed_at(job: Job) -> datetime:
    return job.finished_at or job.created_at
