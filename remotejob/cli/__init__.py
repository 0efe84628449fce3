"""The command line: `remotejob --help` lists the commands."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the `remotejob` command."""
    try:
        from remotejob.cli.app import run
    except ModuleNotFoundError as missing:
        sys.exit(
            f"remotejob: the command line needs {missing.name}; "
            'install it with: pip install "remotejob[cli]"'
        )
    sys.exit(run())
