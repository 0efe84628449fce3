"""What `remotejob local` keeps from one start to the next."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import boto3

from remotejob.cli.local import folders
from remotejob.cli.visible import one_line
from remotejob.jobs.scheduler.resend import resend_latest
from remotejob.local.keeping.folder import Begin
from remotejob.local.keeping.kept import Kept

KEEP: Final = folders.STATE / "state"
_ASK_EVERY_S: Final = 1.0


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


class SaveWatch:
    """Says when data can no longer be saved, and when they are saved again."""

    def __init__(
        self,
        trouble: Callable[[], str | None],
        say: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`trouble` tells why nothing can be saved, or None; it is asked once a second."""
        self._trouble, self._say, self._clock = trouble, say, clock
        self._ask_at = 0.0
        self._failing = False

    def check(self) -> None:
        """Say what has changed since the last call."""
        if self._clock() < self._ask_at:
            return
        self._ask_at = self._clock() + _ASK_EVERY_S
        trouble = self._trouble()
        if trouble is not None and not self._failing:
            self._say(
                f"jobs and files cannot be saved in {KEEP}/ ({one_line(trouble)}): make room, or "
                "what happens from now on is lost when this ends"
            )
        elif trouble is None and self._failing:
            self._say("jobs and files are saved again")
        self._failing = trouble is not None
