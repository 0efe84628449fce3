"""What every benchmark prints first, and how it prints its counts."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import boto3
import moto
from rich.console import Console
from rich.table import Table

_WIDE = 220
console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def heading() -> dict[str, str]:
    """The command, the machine, the commit: a figure without them says nothing."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    said = {
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"boto3 {boto3.__version__}, moto {moto.__version__}",
        "commit": f"{commit or 'none'}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }
    for name, text in said.items():
        console.print(f"{name:<8} {text}")
    return said


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A titled table; all columns but the first are figures. Nothing where there are no rows."""
    rows = list(rows)
    if not rows:
        return
    shown = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        shown.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*row)
    console.print()
    console.print(title, style="bold")
    console.print(shown)
