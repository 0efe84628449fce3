"""Bring what is deployed to what the project says now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from remotejob import settings
from remotejob.cli.local import folders
from remotejob.cli.local.kept_assembly import kept_assembly, make_assembly
from remotejob.cli.local.sources import Sources
from remotejob.domain.errors import SettingsError

if TYPE_CHECKING:
    from remotejob.local.embedded import EmbeddedAws


class StackUpdates:
    """Synthesizes the app again, and gives the running system what is new."""

    def __init__(
        self,
        sources: Sources,
        settings_file: Path,
        aws: EmbeddedAws,
        say: Callable[[str], None],
    ) -> None:
        self._sources = sources
        self._settings_file = settings_file
        self._aws = aws
        self._say = say

    def update(self, changed: str) -> None:
        """Update after a change of these files; what is deployed stays if that is refused."""
        try:
            settings.load(self._settings_file)
            folder = kept_assembly(self._sources, self._settings_file, folders.ASSEMBLY)
            if folder is None:
                self._say(f"{changed} changed: synthesizing the CDK app")
                folder = make_assembly(self._sources, self._settings_file, folders.ASSEMBLY)
        except SettingsError as problem:
            self._say(f"{problem}; the system goes on as it was")
            return
        updated = self._aws.update_code(folder)
        if updated is None:
            self._say("the stacks changed: end `remotejob local` and start it again to deploy them")
        elif updated:
            self._say(f"updated {updated} functions")
