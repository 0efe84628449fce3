"""The commands on past jobs: `receipt` and `replay`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from remotejob.cli import formats
from remotejob.cli.common import AsJson, Force, JobId, System, out, say
from remotejob.cli.connecting import connect
from remotejob.cli.exit_codes import Exit
from remotejob.cli.saving import folder_of, if_exists, save_outputs
from remotejob.cli.visible import one_line
from remotejob.client.job import Job
from remotejob.client.replay_here import OnError, Replayed
from remotejob.domain.errors import InvalidName
from remotejob.jobs.content.download_path import IfExists

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
    here: Annotated[
        bool, typer.Option("--here", help="Run it in this process; changes nothing in the system.")
    ] = False,
    tasks: Annotated[
        str | None,
        typer.Option(metavar="MODULE", help="With --here: the module that registers the tasks."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(help="With --here: folder to save the outputs in; default: do not save."),
    ] = None,
    force: Force = False,
    on_error: Annotated[
        OnError, typer.Option(help="With --here: keep the task's error to show it, or raise it.")
    ] = OnError.KEEP,
    system: System = None,
    as_json: AsJson = False,
) -> None:
    """Run a job again on the same data and the same version of its input.

    With --here, breakpoint() works in the task, and the exit code is 1 if the task fails.
    """
    if here:
        _check_here(tasks, queue)
    elif tasks is not None or folder is not None or force or on_error is not OnError.KEEP:
        raise InvalidName("--tasks, --folder, --force and --on-error need --here; add it")
    job = connect(system).job(job_id)
    if here:
        replayed = _replay_here(job, tasks, on_error)
        saved = [] if folder is None else _save(job, replayed, folder, if_exists(force=force))
        _finish(replayed, saved, as_json=as_json)
        return
    again = job.replay(queue)
    if as_json:
        formats.to_json(out, formats.as_dict(again))
    else:
        say(again.id)


def _check_here(tasks: str | None, queue: str | None) -> None:
    if tasks is None:
        raise InvalidName("--here needs the module that registers the tasks, such as --tasks tasks")
    if queue is not None:
        raise InvalidName(f"--queue {queue}: --here runs the job on no queue; leave --queue out")


def _replay_here(job: Job, tasks: str | None, on_error: OnError) -> Replayed:
    assert tasks is not None
    # like `python -m`: the module may be in the current folder
    sys.path.insert(0, str(Path.cwd()))
    try:
        importlib.import_module(tasks)
    except ModuleNotFoundError as problem:
        raise InvalidName(
            f"--tasks {tasks}: {problem}; name a module that can be imported from here"
        ) from None
    return job.replay_here(on_error=on_error)


def _save(job: Job, replayed: Replayed, folder: Path, existing: IfExists) -> list[str]:
    under = folder_of(job)
    outputs = [(under, output) for output in replayed.outputs.values()]
    return [str(path) for path in save_outputs(outputs, folder, existing)]


def _finish(replayed: Replayed, saved: list[str], *, as_json: bool) -> None:
    if as_json:
        formats.to_json(out, _as_dict(replayed, saved))
    else:
        _show(replayed, saved)
    if replayed.error is not None:
        raise typer.Exit(Exit.JOB_FAILED)


def _as_dict(replayed: Replayed, saved: list[str]) -> dict[str, Any]:
    return {
        "job": replayed.job_id,
        "task": replayed.task,
        "result": replayed.result,
        "error": None if replayed.error is None else repr(replayed.error),
        "traceback": replayed.traceback,
        "seconds": replayed.took.total_seconds(),
        "outputs": [{"name": out.name, "size": out.size} for out in replayed.outputs.values()],
        "kept": saved,
        "log": [{"level": line.level, "message": line.message} for line in replayed.logs],
    }


def _show(replayed: Replayed, saved: list[str]) -> None:
    for line in replayed.logs:
        say(f"{line.level}: {line.message}")
    for output in replayed.outputs.values():
        say(one_line(f"output {output.name}, {output.size:,} bytes"))
    for path in saved:
        say(f"saved {path}")
    if replayed.traceback is None:
        say(f"result {replayed.result!r}")
    else:
        say(replayed.traceback)
