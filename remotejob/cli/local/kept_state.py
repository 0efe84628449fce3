"""What `remotejob local` keeps from one start to the next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import boto3

from remotejob.cli.local import folders
from remotejob.jobs.scheduler.resend import resend_latest
from remotejob.local.keeping.folder import Begin
from remotejob.local.keeping.kept import Kept

KEEP: Final = folders.STATE / "state"


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What an `EmbeddedAws` keeps, and what it begins with."""

    folder: Path | None
    begin: Begin

    @property
    def begins_empty(self) -> bool:
        """Whether nothing of earlier starts is there, nor are their logs."""
        return self.folder is None or self.begin is Begin.EMPTY


def options(*, process: Path | None, fresh: bool) -> Options:
    """`--process` keeps nothing, and leaves alone what other starts kept."""
    return Options(
        folder=KEEP if process is None else None, begin=Begin.EMPTY if fresh else Begin.KEPT
    )


def resend(kept: Kept | None, system: str, session: boto3.Session) -> None:
    """Send again for jobs whose messages an embedded AWS that was killed may not have saved."""
    from remotejob.backends.aws import connect

    if kept is None or kept.complete or kept.saved_ms is None:
        return
    resend_latest(connect(system, session=session), copied_ms=kept.saved_ms)
