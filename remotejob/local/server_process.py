"""The process of the embedded AWS's server: its start, whether it runs, and its end."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from remotejob.local import private_files
from remotejob.local.errors import ServerFailed, StateUnusable

MODULE = "remotejob.local.server"
"""What is run; our tests run it with notes of what it is asked."""

_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 15.0
_ENDED_WITHIN_S: Final = 1.0
"""Its connections and its output end a moment before it does."""


def start(options: Sequence[str], startup_log: Path) -> subprocess.Popen[bytes]:
    """Start the server with these options; it stops when its standard input ends.

    What it says before it has a log goes to `startup_log`, which is emptied first.
    Raises: NotPrivate, for the log.
    """
    with private_files.open_log(startup_log) as errors:
        errors.truncate(0)
        return subprocess.Popen(  # noqa: S603  (our own server)
            [sys.executable, "-m", MODULE, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_clean_environment(),
            # Ctrl-C in a terminal must only reach the caller, which shuts down cleanly.
            start_new_session=True,
        )


def wait_until_ready(process: subprocess.Popen[bytes], startup_log: Path) -> dict[str, str]:
    """Wait for what the server says of itself once it is ready.

    Raises: ServerFailed; StateUnusable, when it refuses the folders that it was given.
    """
    line = _first_line(process, _START_TIMEOUT_S)
    if not line.strip():
        raise ServerFailed(startup_log.read_text() or silent(process, startup_log))
    ready: dict[str, str] = json.loads(line)
    if "refused" in ready:
        raise StateUnusable(ready["refused"])
    return ready


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the server has ended, or is about to."""
    try:
        process.wait(_ENDED_WITHIN_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def silent(process: subprocess.Popen[bytes], startup_log: Path) -> str:
    """Why a server that wrote nothing, not even an error, did not start."""
    if not has_ended(process):
        return f"the embedded AWS did not become ready in {_START_TIMEOUT_S:.0f} s; try again"
    return (
        f"the embedded AWS ended with {process.returncode} before it was ready; is there room in "
        f"{startup_log.parent}?"
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop it and everything it started; kill it if it takes too long."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()  # the server stops when its input ends
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def _first_line(process: subprocess.Popen[bytes], timeout_s: float) -> bytes:
    """The first line a process writes; empty if it ends first or takes too long."""
    assert process.stdout is not None
    end, line = time.monotonic() + timeout_s, b""
    while not line.endswith(b"\n"):
        if not select.select([process.stdout], [], [], max(0, end - time.monotonic()))[0]:
            return b""
        read = os.read(process.stdout.fileno(), 65536)
        if not read:
            return b""
        line += read
    return line


def _clean_environment() -> dict[str, str]:
    """The caller's environment, without variables that redirect requests."""
    unwanted = ("AWS_", "MOTO_", "BOTO_")
    proxies = ("http_proxy", "https_proxy", "all_proxy")
    root = str(Path(__file__).absolute().parents[2])
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(unwanted) and name.lower() not in proxies
    }
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (root, kept.get("PYTHONPATH"))))
    return kept
