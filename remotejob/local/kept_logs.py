"""Keep the logs of earlier starts from growing without limit."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_WORKERS: Final = 20
"""Logs of workers to keep: each process has one."""
_LONGEST: Final = 10 * 1024 * 1024
"""Bytes after which the log of a function or of the server begins again."""


def tidy(folder: Path) -> None:
    """Delete old logs of workers; begin long logs again, next to the old one in `NAME.1`.

    Call it before anything writes there.
    """
    logs = [path for path in folder.glob("*.log") if path.is_file()]
    of_workers = sorted(
        (path for path in logs if path.name.startswith("worker-")),
        key=lambda path: path.stat().st_mtime,
    )
    for path in of_workers[:-_WORKERS]:
        path.unlink()
    for path in logs:
        if path not in of_workers and path.stat().st_size > _LONGEST:
            path.replace(path.with_name(f"{path.name}.1"))
