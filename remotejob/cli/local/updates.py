"""Bring what is deployed to what the project says now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from remotejob import settings
from remotejob.cli.local import folders
from remotejob.cli.local.kept_assembly import (
    kept_assembly,
    make_assembly,
    remove_old_archives,
)
from remotejob.cli.local.system import Options, RunningSystem
from remotejob.domain.errors import SettingsError
from remotejob.local import secret_values
from remotejob.local.errors import DeploymentFailed, InvalidAssembly, NotPrivate

_GOES_ON: Final = "what was deployed goes on, and your next save is tried"


class StackUpdates:
    """Synthesizes the app again, and deploys what is new in place."""

    def __init__(
        self,
        options: Options,
        system: RunningSystem,
        *,
        say: Callable[[str], None],
        announce: Callable[[settings.Settings], None],
    ) -> None:
        """`announce` says how to reach the system, after an update of its stacks."""
        self._options = options
        self._system = system
        self._say = say
        self._announce = announce
        self.refused = False
        """Whether the last update was, so that the next change of any file is to be tried."""

    def update(self, changed: str) -> None:
        """Update after a change of these files; what is deployed stays if that is refused."""
        sources, file = self._options.sources, self._options.settings_file
        aws = self._system.aws
        self.refused = False
        try:
            loaded = settings.load(file)
            # a new secret without a value here is refused before anything is changed
            secret_values.read(loaded, file.parent)
            folder = kept_assembly(sources, file, folders.ASSEMBLY)
            if folder is None:
                self._say(f"{changed} changed: synthesizing the CDK app")
                folder = make_assembly(sources, file, folders.ASSEMBLY, deployed=aws.deployed_from)
                remove_old_archives(folders.ASSETS, folders.ASSEMBLY)
            functions = aws.update_code(folder)
            if functions is None:
                self._say(f"{changed} changed: updating the stacks; workers start again")
                self._update_stacks(folder, loaded)
            elif functions:
                self._say(f"updated {changed}: new code for {functions} functions")
        except (SettingsError, NotPrivate, InvalidAssembly, DeploymentFailed) as problem:
            self.refused = True
            self._say(f"{problem}; {_GOES_ON}")

    def _update_stacks(self, folder: Path, loaded: settings.Settings) -> None:
        starting = self._system.update(folder)
        self._say(f"updated the stacks; starting {starting}")
        self._announce(loaded)
