"""The `run` command: a task in this process, on a file or on a past job's input."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated, Final

import typer

from remotejob.cli.arguments import parse_data
from remotejob.cli.common import AsJson, Force, System
from remotejob.cli.connecting import connect
from remotejob.cli.exit_codes import Exit
from remotejob.cli.project import project_folder
from remotejob.cli.saving import if_exists
from remotejob.client.job import Job
from remotejob.domain.errors import InvalidInput
from remotejob.domain.ids import is_job_id
from remotejob.domain.states import State
from remotejob.jobs.content.download_path import IfExists
from remotejob.jobs.content.payloads import encode_data

app: Final = typer.Typer()

_OUT: Final = Path("build/run")


@app.command()
def run(
    task: Annotated[str, typer.Argument(help="Name of the task.")],
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE|JOB]",
            help="Input file, - for standard input, or the id of a job whose input to take.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="JSON for the task, or @FILE; default: that of the job."),
    ] = None,
    filename: Annotated[
        str | None, typer.Option(help="With FILE: name of the input; default: the file's own.")
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE",
            help="Module that registers the tasks; default: tasks_module in remotejob.toml.",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            show_default="build/run in the project, over the files of earlier runs",
            help="Folder to save the outputs in.",
        ),
    ] = None,
    force: Force = False,
    debug: Annotated[
        bool, typer.Option("--pdb", help="Start the debugger where the task raises an error.")
    ] = False,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Run a task in this process, on a file or on the exact input of a past job.

    Nothing changes in any system, and a file needs none. breakpoint() works in the task. Exits with
    1 if the run fails.
    """
    if debug and as_json:
        raise InvalidInput("--pdb with --json: the debugger needs the output; leave out one")
    if debug and source == "-":
        raise InvalidInput("--pdb with -: the debugger reads standard input; give a file")
    # imported here: the other commands need no worker
    from remotejob.cli import run_here, run_shown
    from remotejob.cli.find_task import find_task
    from remotejob.client.one_run import OneRun

    given = parse_data(data)
    past = _past_job(source, system)
    if past is not None and filename is not None:
        raise InvalidInput(f"--filename {filename}: a job's input has a name; leave it out")
    found = find_task(task, module=tasks, queue=None if past is None else past.queue)
    job = past or run_here.submitted(found, source, data=given, filename=filename)
    observer = run_here.Shown(show=not as_json, debug=debug)
    data_json = None if data is None else encode_data(given)
    one = OneRun(job, found.task, data_json=data_json, observer=observer)
    run_shown.remark_on(found.task)
    with (
        redirect_stdout(sys.stderr) if as_json else nullcontext(),
        run_shown.logging_shown(),
        run_here.cancelled_by_ctrl_c(one) as interrupted,
    ):
        ran = one.run()
    to = folder or _default_folder()
    existing = IfExists.OVERWRITE if folder is None else if_exists(force=force)
    saved = run_here.save(job, ran, to, existing)
    run_shown.show(ran, found.task, saved, as_json=as_json)
    if interrupted.is_set():
        raise typer.Exit(Exit.INTERRUPTED)
    if ran.job.state is not State.COMPLETED:
        raise typer.Exit(Exit.JOB_FAILED)


def _default_folder() -> Path:
    root = project_folder()
    return _OUT if root is None or root == Path.cwd() else root / _OUT


def _past_job(source: str | None, system: str | None) -> Job | None:
    """The job that a source names; None for a file, which may have the name of one."""
    if source is None or not is_job_id(source) or os.path.lexists(source):
        return None
    return connect(system).job(source)
