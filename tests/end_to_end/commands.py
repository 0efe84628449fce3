"""The command line as a program of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

COMMAND: Final = Path(sys.executable).parent / "remotejob"


def bare_environment() -> dict[str, str]:
    """The variables of this process, without those that lead to a system."""
    unwanted = ("AWS_", "REMOTEJOB_")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
