"""The command line: `remotejob --help` lists the commands."""

from __future__ import annotations

import sys

from remotejob.cli.exit_codes import Exit
from remotejob.cli.streams import with_safe_output


def main() -> None:
    """Entry point of the `remotejob` command."""
    sys.exit(with_safe_output(_run))


def _run() -> int:
    try:
        from remotejob.cli.app import run
    except ModuleNotFoundError as missing:
        sys.stderr.write(
            f"remotejob: the command line needs {missing.name}; "
            'install it with: pip install "remotejob[cli]"\n'
        )
        return Exit.TROUBLE
    return run()
