"""The command line on a deployed system: as a program of its own, or in this process."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Final

import pytest

from remotejob.cli.app import run as run_here
from remotejob.local.embedded import EmbeddedAws

COMMAND: Final = Path(sys.executable).parent / "remotejob"
NO_JOB: Final = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
ELSEWHERE: Final = {"REMOTEJOB_ON": "aws"}
"""Another test may run a local system in this folder."""

Done = subprocess.CompletedProcess[str]


def bare_environment() -> dict[str, str]:
    """The variables of this process, without those that lead to a system."""
    unwanted = ("AWS_", "REMOTEJOB_")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


def remotejob(aws: EmbeddedAws, *arguments: str, **environment: str) -> Done:
    """The command, in a process of its own."""
    return run(arguments, {**aws.environment(), **environment})


def remotejob_here(aws: EmbeddedAws, *arguments: str) -> Done:
    """The command in this process, which has imported already what it imports."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in {**aws.environment(), **ELSEWHERE, "COLUMNS": "120"}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", [str(COMMAND), *arguments])
        code = run_here()
    return Done(arguments, code, out.getvalue(), err.getvalue())


def run(arguments: tuple[str, ...], environment: Mapping[str, str]) -> Done:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [COMMAND, *arguments],
        env={**kept, **ELSEWHERE, "COLUMNS": "120", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def one_line(done: Done) -> str:
    (line,) = done.stderr.splitlines()
    return line
