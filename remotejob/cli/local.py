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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import boto3
import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from remotejob import settings
from remotejob.cli import formats
from remotejob.cli.common import Force, err, on_terminal, out, put, say
from remotejob.cli.exit_codes import Exit
from remotejob.cli.layout import Facts, Listing, Paragraph, whole
from remotejob.cli.local_workers import LocalWorkers, raise_if_hopeless
from remotejob.cli.program import called_as
from remotejob.cli.saving import NotAllSaved, if_exists, save_outputs
from remotejob.cli.single_instance import lock_folder
from remotejob.cli.visible import json_text, one_line
from remotejob.client.job import Job
from remotejob.client.remote_job import NAME_VARIABLE, RemoteJob
from remotejob.domain.errors import InvalidBody, InvalidInput, SettingsError, WaitTimeout
from remotejob.domain.file_names import spelled_alike
from remotejob.domain.states import State
from remotejob.jobs.content.download_path import IfExists, download_to
from remotejob.local.errors import ServerFailed
from remotejob.names import Env

if TYPE_CHECKING:
    from remotejob.local.embedded import EmbeddedAws

_JOBS_POLL_S: Final = 0.2
_WORKERS_POLL_S: Final = 0.5
_UPLOADS_TIMEOUT_S: Final = 120.0
_RECORDS: Final = "jobs.json"
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
    force: Force = False,
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
    if files and not force:
        _check_empty(results)
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
        say(f"uploaded {len(files)} files to s3://{system.input_bucket}/", console)
        jobs = _watch(system, local_workers, keys, console)
        downloaded, refused = _download_outputs(jobs, results, if_exists(force=force))
        records = [formats.in_full(job) for job in jobs]
        # the records disappear with the system when this command ends, so keep a copy
        records_file = results / _RECORDS
        text = json_text(records, indent=2).encode()
        download_to(records_file, lambda part: part.write_bytes(text), IfExists.OVERWRITE)
        if as_json:
            formats.to_json(out, records)
        else:
            _report(jobs, downloaded, system, records_file, console)
        if refused is not None:
            raise refused


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
            'install it with: pip install "remotejob-aws[local]"'
        ) from None
    began = time.monotonic()

    def tell(message: str) -> None:
        elapsed = Text(f"{time.monotonic() - began:5.1f} s  ", "dim")
        put(Paragraph(text=message, label=elapsed), console)

    first = "" if _ASSEMBLY.is_dir() else "; the first time takes longest"
    tell(f"synthesizing the CDK app{first}")
    assembly = synthesize(settings_file, _ASSEMBLY)
    for leftover in (_LOGS, _FUNCTIONS):
        shutil.rmtree(leftover, ignore_errors=True)
    tell("starting the embedded AWS")
    with EmbeddedAws.for_assembly(assembly, state=_STATE, cache=_CACHE) as aws:
        tell(f"deploying to {aws.endpoint_url}")
        deployed = aws.deploy(assembly)
        stacks = {resource.stack for resource in deployed.resources}
        tell(f"deployed {len(stacks)} stacks: {', '.join(sorted(stacks))}")
        services = [service.physical_id for service in deployed.all("AWS::ECS::Service")]
        found = tasks(deployed, aws.client)
        tell(f"starting {workers * len(found)} worker(s), for {', '.join(loaded.queues)}")
        local_workers = LocalWorkers(tell)
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
            tell("taking everything down")


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

    def table() -> Listing:
        known = [jobs[key] for key in keys if key in jobs]
        return formats.table(known, width=console.width)

    live_table = on_terminal(console)
    with (
        Live(console=console, refresh_per_second=8, transient=True)
        if live_table
        else nullcontext() as live
    ):
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


def _check_empty(results: Path) -> None:
    """Refuse a folder with files before the jobs run, whose outputs have unknown names.

    Raises: InvalidInput.
    """
    if results.is_dir() and any(results.iterdir()):
        raise InvalidInput(
            f"--results {results}: the folder is not empty; name another one, or --force to "
            "overwrite files of the same name"
        )


def _download_outputs(
    jobs: list[Job], folder: Path, existing: IfExists
) -> tuple[dict[str, list[Path]], NotAllSaved | None]:
    """Download the outputs of the jobs; return their paths by job id, and what was not saved."""
    names = {_RECORDS}
    outputs = []
    for job in jobs:
        for output in job.outputs.values():
            # cat.jpg and cat.png both become cat.png
            spelled = spelled_alike(output.name)
            under = job.id if spelled in names else ""
            names.add(spelled)
            outputs.append((job.id, under, output))
    refused: NotAllSaved | None = None
    paths: Sequence[Path | None]
    try:
        paths = save_outputs([(under, output) for _, under, output in outputs], folder, existing)
    except NotAllSaved as problem:
        refused, paths = problem, problem.paths
    folder.mkdir(parents=True, exist_ok=True)
    downloaded: dict[str, list[Path]] = {}
    for (job_id, _, _), path in zip(outputs, paths, strict=True):
        if path is not None:
            downloaded.setdefault(job_id, []).append(path)
    return downloaded, refused


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
        facts = Facts()
        facts.add_row("input", one_line(job.filename or ""))
        facts.add_row("state", formats.state_text(job))
        for path in downloaded.get(job.id, []):
            facts.add_row("file", one_line(str(path)))
        for output in job.outputs.values():
            facts.add_row("output", one_line(f"s3://{system.output_bucket}/{output.key}"))
        if job.state is State.COMPLETED:
            facts.add_row("result", json_text(job.result))
        for error in job.errors:
            facts.add_row("error", f"{error.kind}: {error.message}")
        facts.add_row("job", job.id)
        put(facts, console)
    completed = sum(job.state is State.COMPLETED for job in jobs)
    console.print()
    say(f"{completed} of {len(jobs)} jobs completed; their records are in {records_file}", console)


def _print_environment(
    exported: dict[str, str], system: RemoteJob, console: Console, *, as_json: bool
) -> None:
    """Print how to reach the system."""
    if as_json:
        formats.to_json(out, exported)
    else:
        console.print("\nTo use it from another shell:\n")
        for name, value in exported.items():
            put(whole(Text(f"export {name}={value}")), console)
        console.print()
        say(f"Then, for example: {called_as()} ls", console)
        put(
            whole(
                Text(
                    f"Uploads go to s3://{system.input_bucket}/, "
                    f"outputs to s3://{system.output_bucket}/"
                )
            ),
            console,
        )
        say("Ctrl-C takes everything down.", console)
        say(f"Logs of workers and functions: {_LOGS}/", console)


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
