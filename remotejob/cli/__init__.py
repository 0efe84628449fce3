"""The command line: `remotejob --help` lists the commands."""

from __future__ import annotations

import sys

from remotejob.cli.exit_codes import Exit
from remotejob.cli.streams import with_safe_output
from remotejob.other_distribution import OtherDistribution, refuse_other_distribution


def main() -> None:
    """Entry point of the `remotejob` command."""
    sys.exit(with_safe_output(_run))


def _run() -> int:
    try:
        # also here: the other package's __init__ may have taken the place of ours
        refuse_other_distribution()
        from remotejob.cli.app import run
    except OtherDistribution as problem:
        sys.stderr.write(f"remotejob: {problem}\n")
        return Exit.TROUBLE
    except ModuleNotFoundError as missing:
        sys.stderr.write(
            f"remotejob: the command line needs {missing.name}; "
            'install it with: pip install "remotejob-aws[cli]"\n'
        )
        return Exit.TROUBLE
    return run()
