"""Print the heading and the tables of a benchmark."""

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
    """Print and return the command, the machine and the commit; figures mean nothing without."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    facts = {
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"boto3 {boto3.__version__}, moto {moto.__version__}",
        "commit": f"{commit or 'none'}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }
    for name, text in facts.items():
        console.print(f"{name:<8} {text}")
    return facts


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with a title; all columns except the first are figures. Skip it if empty."""
    rows = list(rows)
    if not rows:
        return
    printed = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        printed.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        printed.add_row(*row)
    console.print()
    console.print(title, style="bold")
    console.print(printed)
