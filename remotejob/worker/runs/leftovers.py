"""Removes folders of runs whose process has ended without removing them."""

from __future__ import annotations

import logging
import os
import re
import shutil
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

PREFIX: Final = "remotejob-"

_WORKSPACE: Final = re.compile(r"remotejob-[0-9A-Z]{26}-(\d+)-\w+")
"""The job, the process, and what makes the name unique."""


def workspace_prefix(job_id: str) -> str:
    """How the name of a run's folder begins: it says which process it belongs to."""
    return f"{PREFIX}{job_id}-{os.getpid()}-"


def remove_leftovers(folder: Path) -> int:
    """Remove the folders of runs of dead processes; return how many are gone."""
    removed = 0
    for entry in folder.glob(f"{PREFIX}*"):
        match = _WORKSPACE.fullmatch(entry.name)
        if match is None or _lives(int(match[1])) or entry.is_symlink():
            continue
        shutil.rmtree(entry, ignore_errors=True)
        removed += not entry.exists()
    if removed:
        log.info("removed the folders of %d runs whose process has ended", removed)
    return removed


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        # of another user
        return True
    return True
