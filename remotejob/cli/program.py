"""How this program was called, for hints that a shell can run."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def called_as() -> str:
    """The command as it was called: its name if the shell finds it by that, else its path."""
    program = Path(sys.argv[0])
    found = shutil.which(program.name)
    if found is not None and program.exists() and Path(found).samefile(program):
        return program.name
    if program.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m remotejob"
    if program.is_absolute() and program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    return shlex.quote(str(program))
