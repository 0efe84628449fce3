"""The commands."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from remotejob.cli import shown
from remotejob.cli.exits import Exit, explain
from remotejob.cli.local import local
from remotejob.client import RemoteJob
from remotejob.domain.errors import InvalidData
from remotejob.domain.priority import Priority, priority_named
from remotejob.domain.retry import Retry
from remotejob.domain.states import State
from remotejob.job import Job
from remotejob.submitting import Body

app: Final = typer.Typer(
    name="remotejob",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Submit jobs, look at them, and try the whole system on this machine.",
    epilog="Exit codes: 0 well, 1 the job failed, 2 a value was refused, 3 not found, "
    "4 no access to AWS, 5 the wait timed out, 6 anything else, 130 Ctrl-C.",
)
out: Final = Console()
err: Final = Console(stderr=True)

_YEAR: Final = 366 * 24 * 3600

System = Annotated[
    str, typer.Option("--system", envvar="REMOTEJOB_NAME", help="Name of the deployed system.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
Timeout = Annotated[float | None, typer.Option(min=0, help="Seconds to wait; default for ever.")]

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
    retry_wait: Annotated[
        float, typer.Option(min=0, max=_YEAR, help="Seconds between runs.")
    ] = 300,
    priority: Annotated[
        str, typer.Option(help="low, normal, medium, high, critical, or a whole number.")
    ] = "normal",
    delay: Annotated[
        float | None, typer.Option(min=0, max=_YEAR, help="Seconds before it may run.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end, and show it.")] = False,
    system: System = "default",
    as_json: AsJson = False,
) -> None:
    """Make a job, and print its id."""
    retry = None
    if retries is not None:
        retry = Retry(max_attempts=retries + 1, wait=timedelta(seconds=retry_wait))
    parsed = _data(data)
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
        )
    )
    if wait:
        _finish(job.wait(), as_json=as_json)
    elif as_json:
        shown.to_json(out, shown.as_dict(job))
    else:
        out.print(job.id, highlight=False)


@app.command()
def show(job_id: JobId, system: System = "default", as_json: AsJson = False) -> None:
    """Show everything about a job."""
    _show(RemoteJob.connect(system).job(job_id), as_json=as_json)


@app.command("ls")
def list_jobs(
    queue: Annotated[str | None, typer.Option(help="Of this queue alone.")] = None,
    state: Annotated[State | None, typer.Option(help="In this state alone.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    system: System = "default",
    as_json: AsJson = False,
) -> None:
    """List jobs, the newest first."""
    connected = RemoteJob.connect(system)
    source = connected if queue is None else connected.queue(queue)
    jobs = source.jobs(state=state, limit=limit)
    if as_json:
        shown.to_json(out, [shown.as_dict(job) for job in jobs])
    elif jobs:
        out.print(shown.table(jobs))
    else:
        err.print("no jobs")


@app.command()
def wait(
    job_id: JobId,
    timeout: Timeout = None,
    system: System = "default",
    as_json: AsJson = False,
) -> None:
    """Wait until a job has ended, and show it. Exit code 1 if it failed or was cancelled."""
    job = RemoteJob.connect(system).job(job_id)
    _finish(job.wait(timeout), as_json=as_json)


@app.command()
def pause(job_id: JobId, system: System = "default", as_json: AsJson = False) -> None:
    """Keep a job from starting, until it is resumed."""
    _show(RemoteJob.connect(system).job(job_id).pause(), as_json=as_json)


@app.command()
def resume(job_id: JobId, system: System = "default", as_json: AsJson = False) -> None:
    """Let a paused job go on."""
    _show(RemoteJob.connect(system).job(job_id).resume(), as_json=as_json)


@app.command()
def cancel(job_id: JobId, system: System = "default", as_json: AsJson = False) -> None:
    """End a job; if it runs, it is stopped at its next heartbeat."""
    _show(RemoteJob.connect(system).job(job_id).cancel(), as_json=as_json)


@app.command()
def restart(job_id: JobId, system: System = "default", as_json: AsJson = False) -> None:
    """Run a job again that failed or was cancelled."""
    _show(RemoteJob.connect(system).job(job_id).restart(), as_json=as_json)


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
        shown.to_json(out, [str(path) for path in paths])
    else:
        for path in paths:
            out.print(str(path), highlight=False, soft_wrap=True)


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
    _show(job, as_json=as_json)
    if job.state is not State.COMPLETED:
        raise typer.Exit(Exit.JOB_FAILED)


def _show(job: Job, *, as_json: bool) -> None:
    if as_json:
        shown.to_json(out, shown.in_full(job))
    else:
        out.print(shown.details(job))


def _data(text: str | None) -> Any:
    if text is None:
        return None
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except OSError as problem:
            raise InvalidData(f"--data {text}: {problem.strerror}; check the path") from None
        except UnicodeDecodeError:
            raise InvalidData(f"--data {text}: not text in UTF-8; give a JSON file") from None
    try:
        return json.loads(text)
    except ValueError as problem:
        raise InvalidData(
            f"--data {text[:60]!r} is not JSON ({problem}); quote it for the shell, "
            """such as --data '{"size": 400}'"""
        ) from None


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
