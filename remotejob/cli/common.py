"""What the commands share: their common options, and where they print."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from rich.console import Console

from remotejob.cli import shown
from remotejob.job import Job

out: Final = Console()
err: Final = Console(stderr=True)

YEAR: Final = 366 * 24 * 3600

System = Annotated[
    str, typer.Option("--system", envvar="REMOTEJOB_NAME", help="Name of the deployed system.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
JobIds = Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids of the jobs.")]
Queue = Annotated[str, typer.Option(help="Name of the queue.")]
Timeout = Annotated[float | None, typer.Option(min=0, help="Seconds to wait; default for ever.")]


def show_job(job: Job, *, as_json: bool) -> None:
    if as_json:
        shown.to_json(out, shown.in_full(job))
    else:
        out.print(shown.details(job))


def show_jobs(jobs: list[Job], *, as_json: bool) -> None:
    if as_json:
        shown.to_json(out, [shown.as_dict(job) for job in jobs])
    elif jobs:
        out.print(shown.table(jobs))
    else:
        err.print("no jobs")
