"""`remotejob local`: run the whole system on this machine, deployed from its real templates."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import boto3
import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from remotejob import settings
from remotejob.cli import formats
from remotejob.cli.common import called_as, err, on_terminal, out, put
from remotejob.cli.exit_codes import Exit
from remotejob.cli.local_workers import LocalWorkers, raise_if_hopeless
from remotejob.cli.single_instance import lock_folder
from remotejob.client.job import Job
from remotejob.client.remote_job import NAME_VARIABLE, RemoteJob
from remotejob.domain.errors import InvalidBody, SettingsError, WaitTimeout
from remotejob.domain.states import State
from remotejob.local.errors import ServerFailed
from remotejob.names import Env

if TYPE_CHECKING:
    from remotejob.local.embedded import EmbeddedAws

_JOBS_POLL_S: Final = 0.2
_WORKERS_POLL_S: Final = 0.5
_UPLOADS_TIMEOUT_S: Final = 120.0
_STATE: Final = Path("build/local")
_LOGS: Final = _STATE / "logs"
_FUNCTIONS: Final = _STATE / "functions"
_ASSEMBLY: Final = _STATE / "cdk.out"
_CACHE: Final = _STATE / "assets"


def local(
    process: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Upload the files in this folder, wait for their jobs, and exit."
        ),
    ] = None,
    results: Annotated[
        Path, typer.Option(metavar="FOLDER", help="With --process: folder for the outputs.")
    ] = Path("build/results"),
    settings_file: Annotated[
        Path, typer.Option("--settings", help="Settings file to deploy.")
    ] = Path(settings.DEFAULT_FILE),
    workers: Annotated[int, typer.Option(min=1, help="Workers per queue.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Deploy the system to an embedded AWS on this machine, with its functions and workers.

    Needs no AWS account, no Docker and no network. Takes everything down when it ends.
    """
    console = err if as_json else out
    loaded = settings.load(settings_file)
    files = [] if process is None else _files_in(process)
    with (
        _interruptible(),
        lock_folder(_STATE),
        _deployed(settings_file, loaded, workers, console) as (aws, local_workers),
    ):
        exported = {**aws.environment(), NAME_VARIABLE: loaded.system.name}
        if process is None:
            _print_environment(exported, _connect(exported), console, as_json=as_json)
            _run_until_interrupted(local_workers)
        system = _connect(exported)
        keys = _upload(aws, system.input_bucket, loaded, files)
        console.print(f"uploaded {len(files)} files to s3://{system.input_bucket}/")
        jobs = _watch(system, local_workers, keys, console)
        downloaded = _download_outputs(jobs, results)
        records = [formats.in_full(job) for job in jobs]
        # the records disappear with the system when this command ends, so keep a copy
        records_file = results / "jobs.json"
        records_file.write_text(json.dumps(records, indent=2, ensure_ascii=False), encoding="utf-8")
        if as_json:
            formats.to_json(out, records)
        else:
            _report(jobs, downloaded, system, records_file, console)


@contextmanager
def _deployed(
    settings_file: Path, loaded: settings.Settings, workers: int, console: Console
) -> Iterator[tuple[EmbeddedAws, LocalWorkers]]:
    """Deploy to an embedded AWS and start workers; take everything down at the end."""
    try:
        from remotejob.local.embedded import EmbeddedAws
        from remotejob.local.workers import tasks
    except ModuleNotFoundError as missing:
        raise SettingsError(
            f"the embedded AWS needs {missing.name}; "
            'install it with: pip install "remotejob[local]"'
        ) from None
    began = time.monotonic()

    def say(message: str) -> None:
        console.print(
            f"[dim]{time.monotonic() - began:5.1f} s[/]  {escape(message)}",
            highlight=False,
            soft_wrap=True,
        )

    first = "" if _ASSEMBLY.is_dir() else "; the first time takes longest"
    say(f"synthesizing the CDK app{first}")
    assembly = synthesize(settings_file, _ASSEMBLY)
    for leftover in (_LOGS, _FUNCTIONS):
        shutil.rmtree(leftover, ignore_errors=True)
    say("starting the embedded AWS")
    with EmbeddedAws.for_assembly(assembly, state=_STATE, cache=_CACHE) as aws:
        say(f"deploying to {aws.endpoint_url}")
        deployed = aws.deploy(assembly)
        stacks = {resource.stack for resource in deployed.resources}
        say(f"deployed {len(stacks)} stacks: {', '.join(sorted(stacks))}")
        services = [service.physical_id for service in deployed.all("AWS::ECS::Service")]
        found = tasks(deployed, aws.client)
        say(f"starting {workers * len(found)} worker(s), for {', '.join(loaded.queues)}")
        local_workers = LocalWorkers(say)
        for service, task in zip(services, found, strict=True):
            for _ in range(workers):
                local_workers.start(task.environment[Env.QUEUE], partial(aws.start_worker, service))
        try:
            yield aws, local_workers
        except urllib.error.URLError as problem:
            raise ServerFailed(
                f"the embedded AWS has ended ({problem.reason}); see {_LOGS}/server.log"
            ) from None
        finally:
            say("taking everything down")


def synthesize(settings_file: Path, folder: Path) -> Path:
    """Synthesize the CDK app into a folder.

    Raises: SettingsError, with the app's error output.
    """
    if not Path("app.py").is_file():
        raise SettingsError(
            f"there is no app.py in {Path.cwd()}; run this in the project's root folder"
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "CDK_OUTDIR": str(folder.resolve()),
        "CDK_CONTEXT_JSON": json.dumps({"settings": str(settings_file.resolve())}),
    }
    done = subprocess.run(
        [sys.executable, "app.py"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SettingsError(f"the CDK app failed:\n{done.stderr.strip() or done.stdout.strip()}")
    return folder


def _files_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InvalidBody(f"--process {folder}: no such folder; check the path")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if not files:
        raise InvalidBody(f"--process {folder}: the folder has no files; put some in it")
    return files


def _upload(
    aws: EmbeddedAws, bucket: str, loaded: settings.Settings, files: list[Path]
) -> list[str]:
    """Upload files as a user would; return their keys."""
    keys = {_key_for(file, loaded): file for file in files}
    s3 = aws.client("s3")
    for key, file in keys.items():
        s3.upload_file(str(file), bucket, key)
    return list(keys)


def _watch(
    system: RemoteJob, local_workers: LocalWorkers, keys: list[str], console: Console
) -> list[Job]:
    """Show the jobs of uploads until all have ended.

    Raises: WaitTimeout; SettingsError or LocalError, when workers keep ending.
    """
    jobs: dict[str, Job] = {}

    def table() -> Table:
        known = [jobs[key] for key in keys if key in jobs]
        return formats.table(known, width=console.width)

    live_table = on_terminal(console)
    with Live(console=console, refresh_per_second=8) if live_table else nullcontext() as live:
        deadline = time.monotonic() + _UPLOADS_TIMEOUT_S
        while len(jobs) < len(keys) or not all(job.ended for job in jobs.values()):
            if len(jobs) < len(keys) and time.monotonic() > deadline:
                raise WaitTimeout(
                    f"{len(keys) - len(jobs)} of {len(keys)} uploads made no job in "
                    f"{_UPLOADS_TIMEOUT_S:.0f} s; see the functions' logs in {_LOGS}"
                )
            local_workers.check(on_ended=raise_if_hopeless)
            for job in system.jobs(limit=len(keys)):
                if job.input is not None and job.input.key in keys:
                    jobs[job.input.key] = job
            if live is not None:
                live.update(table())
            time.sleep(_JOBS_POLL_S)
    if not live_table:
        put(table(), console)
    return [jobs[key] for key in keys]


def _key_for(file: Path, loaded: settings.Settings) -> str:
    """The upload key for a file: the prefix of the first route that takes it, and its name."""
    for route in loaded.routes:
        if route.matches(route.prefix + file.name):
            return route.prefix + file.name
    raise InvalidBody(
        f"{file}: no route in the settings takes this file; add its suffix to a route"
    )


def _download_outputs(jobs: list[Job], folder: Path) -> dict[str, list[Path]]:
    """Download the outputs of the jobs; return their paths by job id."""
    downloaded: dict[str, list[Path]] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for job in jobs:
        for output in job.outputs.values():
            path = folder / output.name
            if any(path in paths for paths in downloaded.values()):
                # cat.jpg and cat.png both become cat.png
                path = folder / job.id / output.name
            path.parent.mkdir(parents=True, exist_ok=True)
            downloaded.setdefault(job.id, []).append(output.download(path))
    return downloaded


def _report(
    jobs: list[Job],
    downloaded: dict[str, list[Path]],
    system: RemoteJob,
    records_file: Path,
    console: Console,
) -> None:
    """Print where everything is: downloaded files, records, objects in the output bucket."""
    for job in jobs:
        console.print()
        console.print(Text(job.filename or job.id, style="bold"), formats.state_text(job))
        facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 2))
        facts.add_column(style="dim", no_wrap=True)
        facts.add_column(overflow="fold")
        for path in downloaded.get(job.id, []):
            facts.add_row("file", escape(str(path)))
        for output in job.outputs.values():
            facts.add_row("output", escape(f"s3://{system.output_bucket}/{output.key}"))
        if job.state is State.COMPLETED:
            facts.add_row("result", escape(json.dumps(job.result, ensure_ascii=False)))
        for error in job.errors:
            facts.add_row("error", escape(f"{error.kind}: {error.message}"))
        facts.add_row("job", job.id)
        put(facts, console)
    completed = sum(job.state is State.COMPLETED for job in jobs)
    console.print(
        f"\n{completed} of {len(jobs)} jobs completed; their records are in {records_file}"
    )


def _print_environment(
    exported: dict[str, str], system: RemoteJob, console: Console, *, as_json: bool
) -> None:
    """Print how to reach the system."""
    if as_json:
        formats.to_json(out, exported)
    else:
        console.print("\nTo use it from another shell:\n")
        for name, value in exported.items():
            console.print(f"export {name}={value}", highlight=False, soft_wrap=True)
        console.print(
            f"\nThen, for example: {called_as()} ls\n"
            f"Uploads go to s3://{system.input_bucket}/, outputs to s3://{system.output_bucket}/\n"
            "Ctrl-C takes everything down.",
            highlight=False,
            soft_wrap=True,
            markup=False,
        )
        console.print(f"Logs of workers and functions: {_LOGS}/", highlight=False)


def _run_until_interrupted(local_workers: LocalWorkers) -> NoReturn:
    """Restart workers that end, until Ctrl-C."""
    while True:
        local_workers.check()
        time.sleep(_WORKERS_POLL_S)


def _connect(exported: dict[str, str]) -> RemoteJob:
    session = boto3.Session(
        aws_access_key_id=exported["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=exported["AWS_SECRET_ACCESS_KEY"],
        region_name=exported["AWS_REGION"],
    )
    os.environ["AWS_ENDPOINT_URL"] = exported["AWS_ENDPOINT_URL"]
    return RemoteJob.connect(exported[NAME_VARIABLE], session=session)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Make Ctrl-C and SIGTERM end the command cleanly, with everything taken down."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    # SIGINT too: a shell starts background processes with SIGINT ignored
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, interrupt) for number in signals]
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
