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

console = Console(highlight=False)


def heading() -> None:
    """The command, the machine, the commit: a figure without them says nothing."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    console.print(f"command  {' '.join(['python -m benchmarks', *sys.argv[1:]])}")
    console.print(
        f"machine  {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, boto3 {boto3.__version__}, moto {moto.__version__}"
    )
    console.print(f"commit   {commit or 'none'}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A titled table; all columns but the first are figures."""
    shown = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        shown.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*row)
    console.print()
    console.print(shown)
