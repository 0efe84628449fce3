"""The command line: the commands to submit and read one job, and the entry point."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from remotejob.cli import batches, env, formats, letters, manage, replay, switches, workers
from remotejob.cli import run as run_command
from remotejob.cli.arguments import parse_data, parse_seconds
from remotejob.cli.choosing import On
from remotejob.cli.common import (
    YEAR,
    AsJson,
    Force,
    JobId,
    RetryWait,
    System,
    Timeout,
    complain,
    note,
    out,
    parse_retry,
    say,
    show_job,
    show_jobs,
)
from remotejob.cli.connecting import begin, connect, where
from remotejob.cli.deploy import command as deploy
from remotejob.cli.doctor import command as doctor
from remotejob.cli.exit_codes import Exit, explain
from remotejob.cli.init.command import init
from remotejob.cli.local.command import local
from remotejob.cli.program import called_as
from remotejob.cli.saving import NotAllSaved, folder_of, if_exists, save_outputs
from remotejob.cli.streams import OutputLost
from remotejob.cli.waiting import wait_for_job
from remotejob.client.job import Job
from remotejob.domain.errors import InvalidData
from remotejob.domain.priority import check_priority
from remotejob.domain.repeat import Repeat
from remotejob.domain.states import State
from remotejob.jobs.content.bodies import Body
from remotejob.names import ClientEnv, installed_version

app: Final = typer.Typer(
    name="remotejob",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Submit jobs, inspect and control them, and run the whole system on this machine.",
    epilog="Exit codes: 0 success, 1 the job failed, 2 a value was refused, 3 not found, "
    "4 no access to AWS, 5 the wait timed out, 6 anything else, such as output that could not be "
    "written, 130 Ctrl-C.",
)
app.command()(init)
app.command()(local)


def _print_version(asked: bool) -> None:  # noqa: FBT001 (typer's signature)
    if asked:
        typer.echo(f"remotejob {installed_version()}")
        raise typer.Exit


@app.callback()
def _main(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    on: Annotated[
        On | None,
        typer.Option(
            envvar=ClientEnv.ON,
            show_default=False,
            help="Which system is meant: the one that `remotejob local` runs in this project, or "
            "one in AWS. Needed only where both could be.",
        ),
    ] = None,
) -> None:
    begin(on)


@app.command()
def submit(
    task: Annotated[str, typer.Argument(help="Name of the task.")],
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="Input file; - reads standard input.")
    ] = None,
    queue: Annotated[str, typer.Option(help="Queue to submit to.")] = "default",
    data: Annotated[
        str | None, typer.Option(help="JSON for the task, or @FILE to read it from a file.")
    ] = None,
    filename: Annotated[
        str | None, typer.Option(help="Name of the input; default: the file's own.")
    ] = None,
    retries: Annotated[
        int | None, typer.Option(min=0, help="Retries after the first run; default: the task's.")
    ] = None,
    retry_wait: RetryWait = None,
    priority: Annotated[
        str, typer.Option(help="low, normal, medium, high, critical, or a whole number.")
    ] = "normal",
    delay: Annotated[
        float | None, typer.Option(min=0, max=YEAR, help="Seconds to wait before it may run.")
    ] = None,
    expires: Annotated[
        float | None,
        typer.Option(min=1, max=YEAR, help="Seconds from when it may run; no run begins later."),
    ] = None,
    crashes: Annotated[
        int | None,
        typer.Option(
            min=0, max=100, help="Deaths of its worker it may survive; 0: it never runs again."
        ),
    ] = None,
    depends: Annotated[
        list[str] | None,
        typer.Option("--depends", metavar="JOB", help="Run after this job; may be repeated."),
    ] = None,
    resource: Annotated[
        str | None, typer.Option(help="Resource to lock: only one of its jobs runs at a time.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant the job is for.")] = None,
    repeat: Annotated[
        str | None,
        typer.Option(help="'every 15 minutes', 'every day at 09:30', or a cron expression."),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(min=0, help="With --repeat: runs after the first; default: no limit."),
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(help="With --repeat: time zone, such as Europe/Berlin; default: UTC."),
    ] = None,
    stop_on_failure: Annotated[
        bool,
        typer.Option("--stop-on-failure", help="With --repeat: end it when a run fails for good."),
    ] = False,
    cancel_repeats: Annotated[
        bool,
        typer.Option(
            "--cancel-repeats",
            help="With --repeat, without --repeats: replace the task's jobs that repeat for ever.",
        ),
    ] = False,
    paused: Annotated[
        bool, typer.Option("--paused", help="Store it paused; it runs once you resume it.")
    ] = False,
    key: Annotated[
        str | None,
        typer.Option(
            help="Idempotency key: submitting it again within a day returns the same job."
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the job has ended, and show it.")
    ] = False,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Submit a job and print its id."""
    retry = parse_retry(retries, retry_wait)
    repetition = _parse_repeat(repeat, repeats, time_zone, stop_on_failure=stop_on_failure)
    parsed = parse_data(data)
    parsed_priority = _parse_priority(priority)
    target = connect(system).queue(queue)
    job = target.submit(
        task,
        body=_open_body(file),
        data=parsed,
        filename=filename,
        retry=retry,
        priority=parsed_priority,
        delay=None if delay is None else parse_seconds("--delay", delay),
        expires=None if expires is None else parse_seconds("--expires", expires),
        crashes=crashes,
        depends=depends or (),
        resource=resource,
        tenant=tenant,
        repeat=repetition,
        idempotency_key=key,
        paused=paused,
        cancel_repeats=cancel_repeats,
    )
    if wait:
        note(job.id)
        _finish(wait_for_job(job, None), as_json=as_json)
    elif as_json:
        formats.to_json(out, formats.as_dict(job))
    else:
        say(job.id)


@app.command()
def show(
    job_id: JobId,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show only the traceback of its last failed run.")
    ] = False,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Show everything about a job."""
    job = connect(system).job(job_id)
    if traceback:
        _show_traceback(job, as_json=as_json)
    else:
        show_job(job, as_json=as_json)


@app.command()
def why(job_id: JobId, system: System = None, as_json: AsJson = False) -> None:
    """Explain why a job is not running: what it is waiting for."""
    reason = connect(system).job(job_id).why()
    if as_json:
        shown = {"why": reason.code, "text": reason.text, "remedy": reason.remedy}
        formats.to_json(out, {**shown, "unseen": reason.unseen, **reason.details})
        return
    say(reason.text)
    if reason.remedy:
        say(f"What to do: {reason.remedy}")
    for unseen in reason.unseen:
        note(f"not seen: {unseen}")


@app.command("ls")
def list_jobs(
    queue: Annotated[str | None, typer.Option(help="Only jobs of this queue.")] = None,
    state: Annotated[State | None, typer.Option(help="Only jobs in this state.")] = None,
    task: Annotated[str | None, typer.Option(help="Only jobs of this task.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of jobs.")] = 20,
    unable: Annotated[
        bool, typer.Option("--unable", help="Of these, only jobs that no living worker can run.")
    ] = False,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    connected = connect(system)
    source = connected if queue is None else connected.queue(queue)
    jobs = source.jobs(state=state, task=task, limit=limit)
    show_jobs(connected.unable(jobs) if unable else jobs, as_json=as_json)


@app.command()
def wait(
    job_id: JobId,
    timeout: Timeout = None,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Wait until a job has ended, and show it. Exits with 1 if it failed or was cancelled."""
    job = connect(system).job(job_id)
    _finish(wait_for_job(job, timeout), as_json=as_json)


@app.command()
def download(
    job_id: JobId,
    folder: Annotated[Path, typer.Argument(help="Target folder; created if missing.")] = Path(),
    name: Annotated[str | None, typer.Option(help="Only this output.")] = None,
    force: Force = False,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Download the outputs of a completed job and print their paths.

    They keep the folders of the uploaded file's key: scans/2023/page.pdf gives scans/2023/page.png.
    """
    job = connect(system).job(job_id)
    _ = job.result  # raises the reason when the job has not completed
    outputs = [job.outputs[name]] if name is not None else list(job.outputs.values())
    under = folder_of(job)
    try:
        paths = save_outputs([(under, one) for one in outputs], folder, if_exists(force=force))
    except NotAllSaved as problem:
        _show_paths(problem.saved, as_json=as_json)
        raise
    _show_paths(paths, as_json=as_json)


def _show_paths(paths: Sequence[Path], *, as_json: bool) -> None:
    if as_json:
        formats.to_json(out, [str(path) for path in paths])
    else:
        for path in paths:
            say(str(path))


app.registered_commands += manage.app.registered_commands
app.registered_commands += switches.app.registered_commands
app.registered_commands += replay.app.registered_commands
app.registered_commands += run_command.app.registered_commands
app.registered_commands += batches.app.registered_commands
app.registered_commands += workers.app.registered_commands
app.registered_commands += letters.app.registered_commands
app.registered_commands += doctor.app.registered_commands
app.registered_commands += deploy.app.registered_commands
app.registered_commands += env.app.registered_commands


def run() -> int:
    """Run the command line and return the exit code. An error prints one line with the remedy."""
    try:
        # a command that exits early returns its code, others None
        return app(standalone_mode=False) or Exit.OK
    except typer.TyperException as refused:
        _complain_of_usage(refused)
        return Exit.INVALID
    except (typer.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except OutputLost:
        raise
    except Exception as error:  # noqa: BLE001 (`explain` raises what it does not know)
        code, line = explain(error)
        complain(line + where(error))
        return code


def _complain_of_usage(refused: typer.TyperException) -> None:
    """Say in one line what is wrong with the command line. Without any arguments, typer has printed
    the help already."""
    message = refused.format_message()
    if message:
        context = getattr(refused, "ctx", None)
        path = "remotejob" if context is None else context.command_path
        if context is not None and getattr(refused, "option_name", None) == "--on":
            message = f"--on comes before the command: {called_as()} --on aws {context.info_name}"
        complain(f"{message.rstrip('.')}; see {path} --help")


def _finish(job: Job, *, as_json: bool) -> None:
    show_job(job, as_json=as_json)
    if job.state is not State.COMPLETED:
        raise typer.Exit(Exit.JOB_FAILED)


def _show_traceback(job: Job, *, as_json: bool) -> None:
    """Show the traceback of the last failed run; a run whose worker died has none."""
    last = next(reversed(job.tracebacks()), None)
    if as_json:
        formats.to_json(out, {"id": job.id, "traceback": last})
    elif last is None:
        note(f"job {job.id} has no traceback: its task raised no error in any run")
    else:
        say(last.rstrip("\n"))


def _parse_repeat(
    schedule: str | None, times: int | None, time_zone: str | None, *, stop_on_failure: bool
) -> Repeat | None:
    if schedule is None:
        options = {
            f"--repeats {times}": times is not None,
            f"--time-zone {time_zone}": time_zone is not None,
            "--stop-on-failure": stop_on_failure,
        }
        for option, given in options.items():
            if given:
                raise InvalidData(f"{option} needs a schedule, such as --repeat 'every 15 minutes'")
        return None
    return Repeat(
        schedule=schedule,
        times=times,
        time_zone=time_zone or "UTC",
        on_failure="stop" if stop_on_failure else "continue",
    )


def _open_body(file: str | None) -> Body | None:
    return sys.stdin.buffer if file == "-" else file


def _parse_priority(text: str) -> int:
    try:
        value: int | str = int(text)
    except ValueError:
        value = text
    return check_priority(value, lead="--priority ")
