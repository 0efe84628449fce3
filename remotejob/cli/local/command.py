"""`remotejob local`: run the whole system on this machine, deployed from its real templates."""

from __future__ import annotations

import os
import shutil
import signal
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
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
from remotejob.cli.local import folders, kept_state
from remotejob.cli.local.kept_assembly import kept_assembly, make_assembly
from remotejob.cli.local.lines import JobLines
from remotejob.cli.local.logs import WorkerLogs
from remotejob.cli.local.process import files_to_process, process_files
from remotejob.cli.local.reload import Changes, reload
from remotejob.cli.local.sources import Sources
from remotejob.cli.local.updates import StackUpdates
from remotejob.cli.local.window import Window, show_logs
from remotejob.cli.local_workers import LocalWorkers
from remotejob.cli.program import called_as
from remotejob.cli.single_instance import lock_folder
from remotejob.client.remote_job import NAME_VARIABLE, RemoteJob
from remotejob.domain.errors import SettingsError
from remotejob.local import secret_values
from remotejob.local.announcement import announced
from remotejob.local.errors import NotPrivate, ServerFailed
from remotejob.names import DISTRIBUTION, Env

if TYPE_CHECKING:
    from remotejob.local.embedded import EmbeddedAws
    from remotejob.local.workers import Worker

_TURN_S: Final = 0.25
"""How often to look at workers and their logs; a changed file is noticed at once."""


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
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin without the jobs, files and logs of before.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Do not show what jobs do, log and print.")
    ] = False,
) -> None:
    """Deploy the system to an embedded AWS on this machine, with its functions and workers.

    Runs until Ctrl-C, and reloads what you change. Needs no AWS account, no Docker and no network.
    Takes everything down when it ends; the next start goes on with its jobs, files and queues,
    except after --process.
    """
    console = err if as_json else out
    loaded = settings.load(settings_file)
    # before anything is made, because a missing value ends the command
    secret_values.read(loaded, settings_file.parent)
    files = [] if process is None else files_to_process(process, results, force=force)
    sources = Sources.at(Path.cwd(), settings_file)
    keeping = kept_state.options(process=process, fresh=fresh)
    start = partial(_deployed, sources, settings_file, loaded, workers, console, keeping)
    with _interruptible(), lock_folder(folders.STATE):
        if process is None:
            _serve(start, sources, settings_file, loaded, console, quiet=quiet, as_json=as_json)
        with start() as (aws, local_workers):
            process_files(
                files,
                results,
                aws=aws,
                system=_connect(_exported(aws, loaded)),
                local_workers=local_workers,
                loaded=loaded,
                console=console,
                force=force,
                as_json=as_json,
            )


def _serve(
    start: Callable[..., AbstractContextManager[tuple[EmbeddedAws, LocalWorkers]]],
    sources: Sources,
    settings_file: Path,
    loaded: settings.Settings,
    console: Console,
    *,
    quiet: bool,
    as_json: bool,
) -> NoReturn:
    """Keep everything running, and reload what changes, until Ctrl-C."""
    try:
        from remotejob.cli.local.watcher import Watcher
    except ModuleNotFoundError as missing:
        raise _lacks(missing) from None
    window = Window(console)
    # before anything is deployed: a change from now on is reloaded
    changes = Changes(sources)
    logs, lines = WorkerLogs(), JobLines()
    with (
        Watcher(sources, say=window.say) as watcher,
        start(logs=None if quiet else logs) as (aws, local_workers),
        ExitStack() as stack,
    ):
        exported = _exported(aws, loaded)
        system = _connect(exported)
        _print_environment(exported, system, console, as_json=as_json)
        kept_state.resend(aws, loaded.system.name)
        buckets = {"input_bucket": system.input_bucket, "output_bucket": system.output_bucket}
        stack.enter_context(
            announced(folders.STATE, system=system.name, environment=exported, **buckets)
        )
        stacks = StackUpdates(sources, settings_file, aws, window.say)
        while True:
            if watcher.wait(_TURN_S):
                reload(
                    changes.take(),
                    root=sources.root,
                    restart_workers=local_workers.reload,
                    update_stacks=stacks.update,
                    say=window.say,
                )
            local_workers.check()
            show_logs(logs, lines, window)


def _exported(aws: EmbeddedAws, loaded: settings.Settings) -> dict[str, str]:
    return {**aws.environment(), NAME_VARIABLE: loaded.system.name}


def _lacks(missing: ModuleNotFoundError) -> SettingsError:
    return SettingsError(
        f"the embedded AWS needs {missing.name}; "
        f'install it with: pip install "{DISTRIBUTION}[local]"'
    )


@contextmanager
def _deployed(
    sources: Sources,
    settings_file: Path,
    loaded: settings.Settings,
    workers: int,
    console: Console,
    keeping: kept_state.Options,
    *,
    logs: WorkerLogs | None = None,
) -> Iterator[tuple[EmbeddedAws, LocalWorkers]]:
    """Deploy to an embedded AWS and start workers; take everything down at the end.

    `logs` follows those of the workers, if somebody wants to see them.
    """
    try:
        from remotejob.local.embedded import EmbeddedAws
    except ModuleNotFoundError as missing:
        raise _lacks(missing) from None
    began = time.monotonic()

    def tell(message: str) -> None:
        elapsed = Text(f"{time.monotonic() - began:5.1f} s  ", "dim")
        put(Paragraph(text=message, label=elapsed), console)

    assembly = kept_assembly(sources, settings_file, folders.ASSEMBLY)
    if assembly is None:
        first = "" if folders.ASSEMBLY.is_dir() else "; the first time takes longest"
        tell(f"synthesizing the CDK app{first}")
        assembly = make_assembly(sources, settings_file, folders.ASSEMBLY)
    for leftover in (
        (folders.LOGS, folders.FUNCTIONS) if keeping.begins_empty else (folders.FUNCTIONS,)
    ):
        shutil.rmtree(leftover, ignore_errors=True)
    tell("starting the embedded AWS")
    with EmbeddedAws.for_assembly(
        assembly,
        state=folders.STATE,
        cache=folders.ASSETS,
        keep=keeping.folder,
        begin=keeping.begin,
    ) as aws:
        tell(f"deploying to {aws.endpoint_url}")
        deployed = aws.deploy(assembly)
        for note in aws.notes:
            tell(note)
        stacks = {resource.stack for resource in deployed.resources}
        tell(f"deployed {len(stacks)} stacks: {', '.join(sorted(stacks))}")
        tell(f"starting {workers} worker(s) for each of {', '.join(loaded.queues)}")
        say_line = Window(console).say
        renew = partial(_renew_secrets, loaded, settings_file.parent, aws, say_line)
        local_workers = _start_workers(aws, workers, say_line, logs, renew)
        try:
            yield aws, local_workers
        except urllib.error.URLError as problem:
            raise ServerFailed(
                f"the embedded AWS has ended ({problem.reason}); see {folders.LOGS}/server.log"
            ) from None
        finally:
            tell("taking everything down")


def _start_workers(
    aws: EmbeddedAws,
    each: int,
    say: Callable[[str], None],
    logs: WorkerLogs | None,
    before_each: Callable[[], None],
) -> LocalWorkers:
    """Start so many workers for each queue."""
    from remotejob.local.workers import tasks

    if logs is not None:
        logs.skip_old(folders.LOGS)

    def start(queue: str, service: str) -> Worker:
        environment = {} if logs is None else {Env.LOG_RUNS.value: "on"}
        before_each()
        worker = aws.start_worker(service, environment=environment)
        if logs is not None:
            logs.follow(queue, worker.log)
        return worker

    services = [service.physical_id for service in aws.deployment.all("AWS::ECS::Service")]
    local_workers = LocalWorkers(say)
    for service, task in zip(services, tasks(aws.deployment, aws.client), strict=True):
        queue = task.environment[Env.QUEUE]
        for _ in range(each):
            local_workers.start(queue, partial(start, queue, service))
    return local_workers


def _renew_secrets(
    loaded: settings.Settings, folder: Path, aws: EmbeddedAws, say: Callable[[str], None]
) -> None:
    """Let the next worker have the values that the user's file holds now."""
    try:
        secret_values.read(loaded, folder).put(aws.client)
    except (SettingsError, NotPrivate) as problem:
        say(f"{problem}; the values stay as they were")


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
