"""`remotejob local`: run the whole system on this machine, deployed from its real templates."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
from remotejob.cli.layout import whole
from remotejob.cli.local import folders, kept_state
from remotejob.cli.local.lines import JobLines
from remotejob.cli.local.logs import WorkerLogs
from remotejob.cli.local.process import files_to_process, process_files
from remotejob.cli.local.reload import Changes, reload
from remotejob.cli.local.sources import Sources
from remotejob.cli.local.system import Options, lacks, running
from remotejob.cli.local.updates import StackUpdates
from remotejob.cli.local.window import Window, show_logs
from remotejob.cli.program import called_as
from remotejob.cli.single_instance import lock_folder, refusals_named
from remotejob.client.remote_job import NAME_VARIABLE, RemoteJob
from remotejob.local import secret_values
from remotejob.local.announcement import announced

if TYPE_CHECKING:
    from remotejob.local.embedded import EmbeddedAws

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
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Workers per queue to begin with. Default: none, and one with --process.",
        ),
    ] = None,
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
    Takes everything down when it ends. The next start goes on with its jobs, files and queues,
    except after --process.
    """
    console = err if as_json else out
    loaded = settings.load(settings_file)
    # before anything is made, because a missing value ends the command
    secret_values.read(loaded, settings_file.parent)
    files = [] if process is None else files_to_process(process, results, force=force)
    watched = process is None and not quiet
    options = Options(
        sources=Sources.at(Path.cwd(), settings_file),
        settings_file=settings_file,
        workers_per_queue=workers if workers is not None else 0 if process is None else 1,
        keeping=kept_state.options(process=process, fresh=fresh),
        console=console,
        logs=WorkerLogs() if watched else None,
    )
    with _interruptible(), refusals_named(folders.STATE), lock_folder(folders.STATE):
        if process is None:
            _serve(options, loaded, as_json=as_json)
        with running(options) as system:
            process_files(
                files,
                results,
                aws=system.aws,
                system=RemoteJob.connect(
                    loaded.system.name, session=_session(system.aws.environment())
                ),
                local_workers=system.workers,
                loaded=loaded,
                console=console,
                force=force,
                as_json=as_json,
            )


def _serve(options: Options, loaded: settings.Settings, *, as_json: bool) -> NoReturn:
    """Keep everything running, and reload what changes, until Ctrl-C."""
    try:
        from remotejob.cli.local.watcher import Watcher
    except ModuleNotFoundError as missing:
        raise lacks(missing) from None
    window, lines = Window(options.console), JobLines()
    # before anything is deployed: a change from now on is reloaded
    changes = Changes(options.sources)
    with (
        Watcher(options.sources, say=window.say) as watcher,
        running(options) as system,
        ExitStack() as announcement,
    ):
        announce = partial(_announce, system.aws, options, announcement, as_json=as_json)
        announce(loaded)
        updates = StackUpdates(options, system, say=window.say, announce=announce)
        saves = kept_state.SaveWatch(system.aws.save_trouble, window.say)
        while True:
            if watcher.wait(_TURN_S):
                reload(
                    changes.take(),
                    root=options.sources.root,
                    restart_workers=system.workers.reload,
                    update_stacks=updates.update,
                    stacks_refused=updates.refused,
                    say=window.say,
                )
            system.check()
            saves.check()
            if options.logs is not None:
                show_logs(options.logs, lines, window)


def _announce(
    aws: EmbeddedAws,
    options: Options,
    announcement: ExitStack,
    loaded: settings.Settings,
    *,
    as_json: bool,
) -> None:
    """Say how to reach the system, which is ready now: at the start, and after an update."""
    exported = _exported(aws, loaded)
    session = _session(exported)
    system = RemoteJob.connect(loaded.system.name, session=session)
    kept_state.resend(aws.kept, loaded.system.name, session)
    # in the place of an earlier one at once: meanwhile, a command must not take AWS for it
    announcement.enter_context(
        announced(
            folders.STATE,
            system=system.name,
            environment=exported,
            input_bucket=system.input_bucket,
            output_bucket=system.output_bucket,
        )
    )
    # last: whoever reads it may call a command at once, which must find the system
    _print_environment(exported, system, options.console, as_json=as_json)


def _exported(aws: EmbeddedAws, loaded: settings.Settings) -> dict[str, str]:
    return {**aws.environment(), NAME_VARIABLE: loaded.system.name}


def _print_environment(
    exported: dict[str, str], system: RemoteJob, console: Console, *, as_json: bool
) -> None:
    """Print how to reach the system."""
    if as_json:
        formats.to_json(out, exported)
    else:
        console.print()
        say(f"In this project, commands find it: {called_as()} ls", console)
        put(whole(Text(f'For other tools: eval "$({called_as()} env)"')), console)
        put(
            whole(
                Text(
                    f"Uploads go to s3://{system.input_bucket}/, "
                    f"outputs to s3://{system.output_bucket}/"
                )
            ),
            console,
        )
        say(f"Logs of workers and functions: {folders.LOGS}/", console)
        say("Ctrl-C takes everything down.", console)


def _session(exported: dict[str, str]) -> boto3.Session:
    """A session of the embedded AWS, to which this process turns from now on."""
    os.environ["AWS_ENDPOINT_URL"] = exported["AWS_ENDPOINT_URL"]
    return boto3.Session(
        aws_access_key_id=exported["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=exported["AWS_SECRET_ACCESS_KEY"],
        region_name=exported["AWS_REGION"],
    )


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
