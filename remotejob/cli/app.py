"""The commands."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from remotejob.cli import batches, formats, manage, replay
from remotejob.cli.arguments import data_of
from remotejob.cli.common import (
    YEAR,
    AsJson,
    JobId,
    RetryWait,
    System,
    Timeout,
    err,
    note,
    out,
    retry_of,
    show_job,
    show_jobs,
)
from remotejob.cli.exit_codes import Exit, explain
from remotejob.cli.local import local
from remotejob.cli.waiting import wait_for_job
from remotejob.client.job import Job
from remotejob.client.remote_job import RemoteJob
from remotejob.domain.errors import InvalidData
from remotejob.domain.priority import Priority, priority_named
from remotejob.domain.repeat import Repeat
from remotejob.domain.states import State
from remotejob.jobs.submission.submission import Body

app: Final = typer.Typer(
    name="remotejob",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Submit jobs, look at them, and try the whole system on this machine.",
    epilog="Exit codes: 0 well, 1 the job failed, 2 a value was refused, 3 not found, "
    "4 no access to AWS, 5 the wait timed out, 6 anything else, 130 Ctrl-C.",
)
app.command()(local)


@app.command()
def submit(
    task: Annotated[str, typer.Argument(help="Name of the task.")],
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="The input; - reads standard input.")
    ] = None,
    queue: Annotated[str, typer.Option(help="Queue to submit to.")] = "default",
    data: Annotated[
        str | None, typer.Option(help="JSON for the task, or @FILE to read it from a file.")
    ] = None,
    filename: Annotated[str | None, typer.Option(help="Name of the input.")] = None,
    retries: Annotated[
        int | None, typer.Option(min=0, help="Runs after the first; default the task's own.")
    ] = None,
    retry_wait: RetryWait = None,
    priority: Annotated[
        str, typer.Option(help="low, normal, medium, high, critical, or a whole number.")
    ] = "normal",
    delay: Annotated[
        float | None, typer.Option(min=0, max=YEAR, help="Seconds before it may run.")
    ] = None,
    depends: Annotated[
        list[str] | None,
        typer.Option("--depends", metavar="JOB", help="Run after this job; once for each."),
    ] = None,
    resource: Annotated[
        str | None, typer.Option(help="One job of a resource runs at a time.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="For whom it is.")] = None,
    repeat: Annotated[
        str | None,
        typer.Option(help="Repeat it: 'every 15 minutes', 'every day at 09:30', or as cron does."),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(min=0, help="Repeats after the first run; default for ever.")
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="Of --repeat, such as Europe/Berlin; default UTC.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: within a day it makes one job.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end, and show it.")] = False,
    system: System = "default",
    as_json: AsJson = False,
) -> None:
    """Make a job, and print its id."""
    retry = retry_of(retries, retry_wait)
    repetition = _repeat(repeat, repeats, time_zone)
    parsed = data_of(data)
    job = (
        RemoteJob.connect(system)
        .queue(queue)
        .submit(
            task,
            body=_body(file),
            data=parsed,
            filename=filename,
            retry=retry,
            priority=_priority(priority),
            delay=None if delay is None else timedelta(seconds=delay),
            depends=depends or (),
            resource=resource,
            tenant=tenant,
            repeat=repetition,
            idempotency_key=key,
        )
    )
    if wait:
        note(job.id)
        _finish(wait_for_job(job, None), as_json=as_json)
    elif as_json:
        formats.to_json(out, formats.as_dict(job))
    else:
        out.print(job.id, highlight=False)


@app.command()
def show(
    job_id: JobId,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Only where its last failed run went wrong.")
    ] = False,
    system: System = "default",
    as_json: AsJson = False,
) -> None:
    """Show everything about a job."""
    job = RemoteJob.connect(system).job(job_id)
    if traceback:
        _show_traceback(job, as_json=as_json)
    else:
        show_job(job, as_json=as_json)


@app.command()
def why(job_id: JobId, system: System = "default", as_json: AsJson = False) -> None:
    """Say why a job does not run: what it waits for."""
    reason = RemoteJob.connect(system).job(job_id).why()
    if as_json:
        formats.to_json(out, {"why": reason.code, "text": reason.text, **reason.details})
    else:
        out.print(reason.text, markup=False, highlight=False, soft_wrap=True)


@app.command("ls")
def list_jobs(
    queue: Annotated[str | None, typer.Option(help="Of this queue alone.")] = None,
    state: Annotated[State | None, typer.Option(help="In this state alone.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    unable: Annotated[
        bool, typer.Option("--unable", help="Of these, what no living worker can do.")
    ] = False,
    system: System = "default",
    as_json: AsJson = False,
) -> None:
    """List jobs, the newest first."""
    connected = RemoteJob.connect(system)
    source = connected if queue is None else connected.queue(queue)
    jobs = source.jobs(state=state, limit=limit)
    show_jobs(connected.unable(jobs) if unable else jobs, as_json=as_json)


@app.command()
def wait(
    job_id: JobId,
    timeout: Timeout = None,
    system: System = "default",
    as_json: AsJson = False,
) -> None:
    """Wait until a job has ended, and show it. Exit code 1 if it failed or was cancelled."""
    job = RemoteJob.connect(system).job(job_id)
    _finish(wait_for_job(job, timeout), as_json=as_json)


@app.command()
def download(
    job_id: JobId,
    folder: Annotated[Path, typer.Argument(help="Where to; made if it is not there.")] = Path(),
    name: Annotated[str | None, typer.Option(help="This output alone.")] = None,
    system: System = "default",
    as_json: AsJson = False,
) -> None:
    """Download the outputs of a completed job, and print where they are."""
    job = RemoteJob.connect(system).job(job_id)
    _ = job.result  # says why there are none, when the job has not completed
    outputs = [job.outputs[name]] if name is not None else list(job.outputs.values())
    paths = []
    for output in outputs:
        path = folder / output.name
        path.parent.mkdir(parents=True, exist_ok=True)
        paths.append(output.download(path))
    if as_json:
        formats.to_json(out, [str(path) for path in paths])
    else:
        for path in paths:
            out.print(str(path), highlight=False, soft_wrap=True)


app.registered_commands += manage.app.registered_commands
app.registered_commands += replay.app.registered_commands
app.registered_commands += batches.app.registered_commands


def run() -> int:
    """Run the command line; the exit code. An error is one line, which names the remedy."""
    try:
        app()
    except SystemExit as leaving:
        # how typer leaves: 0 at the end of a command, 2 when the command line was refused
        return leaving.code if isinstance(leaving.code, int) else Exit.OK
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001 (explained, or raised again)
        code, line = explain(error)
        err.print(f"remotejob: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
        return code
    return Exit.OK


def _finish(job: Job, *, as_json: bool) -> None:
    show_job(job, as_json=as_json)
    if job.state is not State.COMPLETED:
        raise typer.Exit(Exit.JOB_FAILED)


def _show_traceback(job: Job, *, as_json: bool) -> None:
    """The traceback of the run that failed last; nothing of a run whose worker died."""
    last = next(reversed(job.tracebacks()), None)
    if as_json:
        formats.to_json(out, {"id": job.id, "traceback": last})
    elif last is None:
        note(f"job {job.id} has no traceback: none of its runs ended with an error of its task")
    else:
        out.print(last.rstrip("\n"), markup=False, highlight=False, soft_wrap=True)


def _repeat(schedule: str | None, times: int | None, time_zone: str | None) -> Repeat | None:
    if schedule is None:
        for option, value in (("--repeats", times), ("--time-zone", time_zone)):
            if value is not None:
                raise InvalidData(f"{option}: say when, such as --repeat 'every 15 minutes'")
        return None
    return Repeat(schedule=schedule, times=times, time_zone=time_zone or "UTC")


def _body(file: str | None) -> Body | None:
    return sys.stdin.buffer if file == "-" else file


def _priority(text: str) -> int:
    try:
        return priority_named(text)
    except KeyError:
        pass
    try:
        return int(text)
    except ValueError:
        names = ", ".join(priority.name.lower() for priority in Priority)
        raise InvalidData(f"--priority {text!r}: use {names}, or a whole number") from None
