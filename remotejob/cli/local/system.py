"""The running system: the stacks in the embedded AWS, and the workers of their services."""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from remotejob import settings
from remotejob.cli.common import put
from remotejob.cli.layout import Paragraph
from remotejob.cli.local import folders, kept_state
from remotejob.cli.local.kept_assembly import (
    kept_assembly,
    make_assembly,
    remove_old_archives,
)
from remotejob.cli.local.logs import WorkerLogs
from remotejob.cli.local.sources import Sources
from remotejob.cli.local.waking import Waking, lanes_of
from remotejob.cli.local.window import Window
from remotejob.cli.local.workers import LocalWorkers
from remotejob.domain.errors import SettingsError
from remotejob.domain.text import counted
from remotejob.local import secret_values
from remotejob.local.errors import DeploymentFailed, NotPrivate, ServerFailed
from remotejob.names import DISTRIBUTION, Env

if TYPE_CHECKING:
    from remotejob.local.embedded import EmbeddedAws

_KEPT_CODE: Final = 4
"""Functions of the library share their code, and an app may bring others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What to start, and what to keep of it."""

    sources: Sources
    settings_file: Path
    workers_per_queue: int
    keeping: kept_state.Options
    console: Console
    logs: WorkerLogs | None
    """Follows the logs of the workers; None if nobody wants to see them."""


class RunningSystem:
    """The embedded AWS, whose services start and stop the workers."""

    workers: LocalWorkers
    """From `start_workers` on."""
    _waking: Waking

    def __init__(self, aws: EmbeddedAws, options: Options) -> None:
        self.aws = aws
        self._say = Window(options.console).say
        self._options = options
        self._secrets_file = options.settings_file.parent / secret_values.FILE
        self._secrets_at: int | None = None
        """When the file of secrets changed last, as far as we know it."""

    def start_workers(self) -> str:
        """Let the services start their workers; return what to say of that."""
        from remotejob.local.ecs.surroundings import Surroundings
        from remotejob.local.workers import tasks

        found = tasks(self.aws.deployment, self.aws.client)
        services = {task.service: task.environment[Env.QUEUE] for task in found}
        self._renew_secrets()
        count = self._options.workers_per_queue
        for resource in self.aws.deployment.all("AWS::ECS::Service"):
            cluster, service = resource.physical_id.split("/")[-2:]
            self.aws.client("ecs").update_service(
                cluster=cluster, service=service, desiredCount=count
            )
        logs = self._options.logs
        self.workers = LocalWorkers(
            self.aws.services,
            services,
            say=self._say,
            started=(lambda _, __: None) if logs is None else logs.follow,
        )
        self._waking = Waking(
            self.aws.services,
            {task.environment[Env.QUEUE]: lanes_of(task.environment) for task in found},
            ask=self._scale,
        )
        self.aws.services.go(
            Surroundings(environment={} if logs is None else {Env.LOG_RUNS.value: "on"})
        )
        names = ", ".join(services.values())
        if count == 0:
            return f"the queues, each with a worker once it has a job: {names}"
        return ", ".join(f"{counted(count, 'worker')} for queue {q}" for q in services.values())

    def _scale(self, queues: list[str]) -> None:
        """Ask the scheduler to scale queues now, as the upload function does."""
        self.aws.client("lambda").invoke(
            FunctionName=self.aws.deployment.one("AWS::Lambda::Function", "Scheduler").physical_id,
            InvocationType="Event",
            Payload=json.dumps({"do": "scale", "queues": queues}).encode(),
        )

    def check(self) -> None:
        """Show what workers did, and let new ones have the secrets that the user's file holds."""
        if self._file_changed_at() != self._secrets_at:
            self._renew_secrets()
        self.workers.check()
        self._waking.check(self.workers.working)

    def update(self, assembly: Path) -> str:
        """Deploy another assembly in place; return what to say of its workers.

        Jobs, files and logs stay, and workers start again. Raises: InvalidAssembly, and nothing has
        happened; DeploymentFailed, and all is as before.
        """
        try:
            self.aws.update(assembly)
        except DeploymentFailed:
            self.start_workers()
            raise
        for note in self.aws.notes:
            self._say(note)
        return self.start_workers()

    def _file_changed_at(self) -> int | None:
        try:
            return self._secrets_file.stat().st_mtime_ns
        except OSError:
            return None

    def _renew_secrets(self) -> None:
        """Let the next worker have the values that the user's file holds now."""
        self._secrets_at = self._file_changed_at()
        file = self._options.settings_file
        try:
            secret_values.read(settings.load(file), file.parent).put(self.aws.client)
        except (SettingsError, NotPrivate) as problem:
            self._say(f"{problem}; the values of secrets stay as they were")


@contextmanager
def running(options: Options) -> Iterator[RunningSystem]:
    """Deploy to an embedded AWS and start workers; take everything down at the end."""
    try:
        from remotejob.local.embedded import EmbeddedAws
        from remotejob.local.services import Counts
    except ModuleNotFoundError as missing:
        raise lacks(missing) from None
    tell = _progress(options.console)
    assembly = kept_assembly(options.sources, options.settings_file, folders.ASSEMBLY)
    if assembly is None:
        first = "" if folders.ASSEMBLY.is_dir() else "; the first time takes longest"
        tell(f"synthesizing the CDK app{first}")
        assembly = make_assembly(options.sources, options.settings_file, folders.ASSEMBLY)
        remove_old_archives(folders.ASSETS, folders.ASSEMBLY)
    keeping = options.keeping
    if keeping.begins_empty:
        shutil.rmtree(folders.LOGS, ignore_errors=True)
    remove_old_code(folders.FUNCTIONS)
    tell("starting the embedded AWS")
    with EmbeddedAws.for_assembly(
        assembly,
        state=folders.STATE,
        cache=folders.ASSETS,
        keep=keeping.folder,
        begin=keeping.begin,
        counts=Counts.OBEYED,
    ) as aws:
        tell(f"deploying to {aws.endpoint_url}")
        deployed = aws.deploy(assembly)
        for note in aws.notes:
            tell(note)
        stacks = {resource.stack for resource in deployed.resources}
        tell(f"deployed {len(stacks)} stacks: {', '.join(sorted(stacks))}")
        system = RunningSystem(aws, options)
        tell(f"starting {system.start_workers()}")
        try:
            with end_of_server_said(aws):
                yield system
        finally:
            tell("taking everything down")


def remove_old_code(functions: Path) -> None:
    """Remove extracted code of functions but the newest, and what a kill left half extracted.

    A start with the same code has it at once: it is thousands of files.
    """
    found = sorted(functions.glob("*"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    whole = [path for path in found if not path.name.startswith(".")]
    for path in {*found} - {*whole[:_KEPT_CODE]}:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def end_of_server_said(aws: EmbeddedAws) -> Iterator[None]:
    """Say of an error that the server has ended, if that is the reason.

    Raises: ServerFailed.
    """
    try:
        yield
    except Exception as problem:
        # each client of the server has errors of its own for that
        if not (isinstance(problem, urllib.error.URLError) or aws.has_ended()):
            raise
        said = problem.reason if isinstance(problem, urllib.error.URLError) else problem
        raise ServerFailed(
            f"the embedded AWS has ended ({said}); see {folders.LOGS}/server.log"
        ) from None


def lacks(missing: ModuleNotFoundError) -> SettingsError:
    """The error for a library of the extra `local` that is not installed."""
    return SettingsError(
        f"the embedded AWS needs {missing.name}; "
        f'install it with: pip install "{DISTRIBUTION}[local]"'
    )


def _progress(console: Console) -> Callable[[str], None]:
    """Prints lines with the seconds since now."""
    began = time.monotonic()

    def tell(message: str) -> None:
        elapsed = Text(f"{time.monotonic() - began:5.1f} s  ", "dim")
        put(Paragraph(text=message, label=elapsed), console)

    return tell
