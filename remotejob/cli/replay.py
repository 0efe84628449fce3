"""The commands on past jobs: `receipt` and `replay`."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from remotejob.cli import formats
from remotejob.cli.common import AsJson, JobId, System, out, say
from remotejob.cli.connecting import connect

app: Final = typer.Typer()


@app.command()
def receipt(job_id: JobId, system: System = None, as_json: AsJson = False) -> None:
    """Show what a job used: calls, seconds, and the approximate cost in dollars."""
    found = connect(system).job(job_id).receipt()
    if as_json:
        formats.to_json(out, found.as_dict())
    else:
        for line in str(found).splitlines():
            say(line)


@app.command()
def replay(
    job_id: JobId,
    queue: Annotated[str | None, typer.Option(help="Queue to run it on; default: its own.")] = None,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Run a job again in the system, on the same data and the same version of its input.

    `remotejob run TASK JOB` does so in this process.
    """
    again = connect(system).job(job_id).replay(queue)
    if as_json:
        formats.to_json(out, formats.as_dict(again))
    else:
        say(again.id)
