"""`remotejob local`: run the whole system on this machine, deployed from its real templates."""

from __future__ import annotations

import os
import shutil
import signal
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import boto3
import typer
from rich.console import Console
from rich.text import Text

from remotejob import settings
from remotejob.cli import formats
from remotejob.cli.common import Force, err, out, put, say
from remotejob.cli.exit_codes import Exit
from remotejob.cli.layout import Paragraph, whole
from remotejob.cli.local import folders
from remotejob.cli.local.process import files_to_process, process_files
from remotejob.cli.local.synthesis import synthesize
from remotejob.cli.local_workers import LocalWorkers
from remotejob.cli.program import called_as
from remotejob.cli.single_instance import lock_folder
from remotejob.client.remote_job import NAME_VARIABLE, RemoteJob
from remotejob.domain.errors import SettingsError
from remotejob.local.errors import ServerFailed
from remotejob.names import Env

if TYPE_CHECKING:
    from remotejob.local.embedded import EmbeddedAws

_WORKERS_POLL_S: Final = 0.5


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
    files = [] if process is None else files_to_process(process, results, force=force)
    with (
        _interruptible(),
        lock_folder(folders.STATE),
        _deployed(settings_file, loaded, workers, console) as (aws, local_workers),
    ):
        exported = {**aws.environment(), NAME_VARIABLE: loaded.system.name}
        if process is None:
            _print_environment(exported, _connect(exported), console, as_json=as_json)
            _run_until_interrupted(local_workers)
        process_files(
            files,
            results,
            aws=aws,
            system=_connect(exported),
            local_workers=local_workers,
            loaded=loaded,
            console=console,
            force=force,
            as_json=as_json,
        )


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

    def tell(message: str) -> None:
        elapsed = Text(f"{time.monotonic() - began:5.1f} s  ", "dim")
        put(Paragraph(text=message, label=elapsed), console)

    first = "" if folders.ASSEMBLY.is_dir() else "; the first time takes longest"
    tell(f"synthesizing the CDK app{first}")
    assembly = synthesize(settings_file, folders.ASSEMBLY)
    for leftover in (folders.LOGS, folders.FUNCTIONS):
        shutil.rmtree(leftover, ignore_errors=True)
    tell("starting the embedded AWS")
    with EmbeddedAws.for_assembly(assembly, state=folders.STATE, cache=folders.ASSETS) as aws:
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
                f"the embedded AWS has ended ({problem.reason}); see {folders.LOGS}/server.log"
            ) from None
        finally:
            tell("taking everything down")


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
        say(f"Logs of workers and functions: {folders.LOGS}/", console)


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
