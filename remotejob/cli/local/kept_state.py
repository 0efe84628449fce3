"""What `remotejob local` keeps from one start to the next."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import boto3

from remotejob.cli.local import folders
from remotejob.jobs.scheduler.resend import resend_latest
from remotejob.local.keeping.folder import Begin

if TYPE_CHECKING:
    from remotejob.local.embedded import EmbeddedAws

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


def resend(aws: EmbeddedAws, system: str) -> None:
    """Send again for jobs whose messages an embedded AWS that was killed may not have saved."""
    from remotejob.backends.aws import connect

    if aws.kept is None or aws.kept.complete or aws.kept.saved_ms is None:
        return
    environment = aws.environment()
    os.environ["AWS_ENDPOINT_URL"] = environment["AWS_ENDPOINT_URL"]
    session = boto3.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
    )
    resend_latest(connect(system, session=session), copied_ms=aws.kept.saved_ms)
