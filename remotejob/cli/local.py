"""`remotejob local`: the whole system on this machine, from the real templates."""

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
from remotejob.cli.common import err, on_terminal, out, put
from remotejob.cli.exit_codes import Exit
from remotejob.cli.local_workers import Tended, give_up_on
from remotejob.cli.single_instance import alone_in
from remotejob.client.job import Job
from remotejob.client.remote_job import NAME_VARIABLE, RemoteJob
from remotejob.domain.errors import InvalidBody, SettingsError, WaitTimeout
from remotejob.domain.states import State
from remotejob.local.errors import ServerFailed
from remotejob.names import Env

if TYPE_CHECKING:
    from remotejob.local.embedded import EmbeddedAws

_LOOK: Final = 0.2
_LOOK_AT_WORKERS: Final = 0.5
_PATIENCE: Final = 120.0
_STATE: Final = Path("build/local")
_LOGS: Final = _STATE / "logs"
_FUNCTIONS: Final = _STATE / "functions"
_ASSEMBLY: Final = _STATE / "cdk.out"
_CACHE: Final = _STATE / "assets"


def local(
    process: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Upload the files in it, wait for their jobs, leave."),
    ] = None,
    results: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where the outputs go, with --process.")
    ] = Path("build/results"),
    settings_file: Annotated[
        Path, typer.Option("--settings", help="The settings to deploy.")
    ] = Path(settings.DEFAULT_FILE),
    workers: Annotated[int, typer.Option(min=1, help="Workers of each queue.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Deploy the system into an AWS embedded in this machine, with its functions and workers.

    It needs no AWS account, no Docker and no network, and it takes everything down at its end.
    """
    console = err if as_json else out
    loaded = settings.load(settings_file)
    files = [] if process is None else _files_in(process)
    with (
        _interruptible(),
        alone_in(_STATE),
        _deployed(settings_file, loaded, workers, console) as (aws, tended),
    ):
        exported = {**aws.environment(), NAME_VARIABLE: loaded.system.name}
        if process is None:
            _tell(exported, console, as_json=as_json)
            _stay(tended)
        system = _connect(exported)
        keys = _upload(aws, system.input_bucket, loaded, files)
        console.print(f"uploaded {len(files)} files to s3://{system.input_bucket}/")
        jobs = _watch(system, tended, keys, console)
        found = _fetch(jobs, results)
        records = [formats.in_full(job) for job in jobs]
        # the system goes with this command; what its records said stays
        kept = results / "jobs.json"
        kept.write_text(json.dumps(records, indent=2, ensure_ascii=False), encoding="utf-8")
        if as_json:
            formats.to_json(out, records)
        else:
            _report(jobs, found, system, kept, console)


@contextmanager
def _deployed(
    settings_file: Path, loaded: settings.Settings, workers: int, console: Console
) -> Iterator[tuple[EmbeddedAws, Tended]]:
    try:
        from remotejob.local.embedded import EmbeddedAws
        from remotejob.local.workers import tasks
    except ModuleNotFoundError as missing:
        raise SettingsError(
            f"the embedded AWS needs {missing.name}; "
            'install it with: pip install "remotejob[local]"'
        ) from None
    began = time.monotonic()

    def say(what: str) -> None:
        console.print(
            f"[dim]{time.monotonic() - began:5.1f} s[/]  {escape(what)}",
            highlight=False,
            soft_wrap=True,
        )

    say("synthesizing the CDK app; the first time takes longest")
    assembly = synthesize(settings_file, _ASSEMBLY)
    for left in (_LOGS, _FUNCTIONS):
        shutil.rmtree(left, ignore_errors=True)
    say("starting the embedded AWS")
    with EmbeddedAws.for_assembly(assembly, state=_STATE, cache=_CACHE) as aws:
        say(f"deploying to {aws.endpoint_url}")
        deployed = aws.deploy(assembly)
        stacks = {resource.stack for resource in deployed.resources}
        say(f"deployed {len(stacks)} stacks: {', '.join(sorted(stacks))}")
        services = [service.physical_id for service in deployed.all("AWS::ECS::Service")]
        found = tasks(deployed, aws.client)
        say(f"starting {workers * len(found)} worker(s), for {', '.join(loaded.queues)}")
        tended = Tended(say)
        for service, task in zip(services, found, strict=True):
            for _ in range(workers):
                tended.start(task.environment[Env.QUEUE], partial(aws.start_worker, service))
        try:
            yield aws, tended
        except urllib.error.URLError as problem:
            raise ServerFailed(
                f"the embedded AWS has ended ({problem.reason}); see {_LOGS}/server.log"
            ) from None
        finally:
            say("taking everything down")


def synthesize(settings_file: Path, folder: Path) -> Path:
    """Run the CDK app into a folder.

    Raises: SettingsError, with what the app said.
    """
    if not Path("app.py").is_file():
        raise SettingsError(
            f"there is no app.py in {Path.cwd()}; start in the folder of the project"
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
        raise InvalidBody(f"--process {folder}: there is no file in it")
    return files


def _upload(
    aws: EmbeddedAws, bucket: str, loaded: settings.Settings, files: list[Path]
) -> list[str]:
    """Upload files as a user would; their keys."""
    keys = {_key_for(file, loaded): file for file in files}
    s3 = aws.client("s3")
    for key, file in keys.items():
        s3.upload_file(str(file), bucket, key)
    return list(keys)


def _watch(system: RemoteJob, tended: Tended, keys: list[str], console: Console) -> list[Job]:
    """Watch the jobs of uploads to their end.

    Raises: WaitTimeout; SettingsError or LocalError, when workers end and will go on to do so.
    """
    jobs: dict[str, Job] = {}

    def table() -> Table:
        known = [jobs[key] for key in keys if key in jobs]
        return formats.table(known, width=console.width)

    watching = on_terminal(console)
    with Live(console=console, refresh_per_second=8) if watching else nullcontext() as live:
        patience = time.monotonic() + _PATIENCE
        while len(jobs) < len(keys) or not all(job.ended for job in jobs.values()):
            if len(jobs) < len(keys) and time.monotonic() > patience:
                raise WaitTimeout(
                    f"{len(keys) - len(jobs)} of {len(keys)} uploads made no job in "
                    f"{_PATIENCE:.0f} s; see the functions' logs in {_LOGS}"
                )
            tended.look(on_ended=give_up_on)
            for job in system.jobs(limit=len(keys)):
                if job.input is not None and job.input.key in keys:
                    jobs[job.input.key] = job
            if live is not None:
                live.update(table())
            time.sleep(_LOOK)
    if not watching:
        put(table(), console)
    return [jobs[key] for key in keys]


def _key_for(file: Path, loaded: settings.Settings) -> str:
    """The key under which the first route that takes such a file takes it."""
    for route in loaded.routes:
        if route.matches(route.prefix + file.name):
            return route.prefix + file.name
    raise InvalidBody(
        f"{file}: no route in the settings takes such a file; add its suffix to a route"
    )


def _fetch(jobs: list[Job], folder: Path) -> dict[str, list[Path]]:
    """Download what the jobs made; their files by job id."""
    found: dict[str, list[Path]] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for job in jobs:
        for output in job.outputs.values():
            path = folder / output.name
            if any(path in paths for paths in found.values()):
                # cat.jpg and cat.png both become cat.png
                path = folder / job.id / output.name
            path.parent.mkdir(parents=True, exist_ok=True)
            found.setdefault(job.id, []).append(output.download(path))
    return found


def _report(
    jobs: list[Job],
    found: dict[str, list[Path]],
    system: RemoteJob,
    records: Path,
    console: Console,
) -> None:
    """Say where everything is: files to open, records, objects in the output bucket."""
    for job in jobs:
        console.print()
        console.print(Text(job.filename or job.id, style="bold"), formats.state_text(job))
        facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 2))
        facts.add_column(style="dim", no_wrap=True)
        facts.add_column(overflow="fold")
        for path in found.get(job.id, []):
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
    console.print(f"\n{completed} of {len(jobs)} jobs completed; their records are in {records}")


def _tell(exported: dict[str, str], console: Console, *, as_json: bool) -> None:
    """Print how to reach the system."""
    if as_json:
        formats.to_json(out, exported)
    else:
        console.print("\nTo reach it from another shell:\n")
        for name, value in exported.items():
            console.print(f"export {name}={value}", highlight=False, soft_wrap=True)
        console.print("\nthen, for example: remotejob ls\nCtrl-C takes everything down.")
        console.print(f"Logs of workers and functions: {_LOGS}/", highlight=False)


def _stay(tended: Tended) -> NoReturn:
    """Keep the workers up until Ctrl-C."""
    while True:
        tended.look()
        time.sleep(_LOOK_AT_WORKERS)


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
    """Ctrl-C and SIGTERM end the command in order, with everything taken down."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    # SIGINT too: a shell starts what runs in the background with it ignored
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, interrupt) for number in signals]
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
