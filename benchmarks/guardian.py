"""Kills the sessions it is told of when its standard input ends: whoever told it is gone.

`with` blocks end everything in order, on Ctrl-C too; this is for the end that runs no block.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.processes import ROOT, kill


class Guardian:
    """The harness's side."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.guardian"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            # Ctrl-C in a terminal is not for it
            start_new_session=True,
        )

    def watch(self, session: int) -> None:
        """Have a session killed should this process end without doing so."""
        self._tell(f"+{session}")

    def forget(self, session: int) -> None:
        """The session has ended; its number may be another's soon."""
        self._tell(f"-{session}")

    def close(self) -> None:
        """End it. It kills what it was told of and not to forget."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()


def main() -> None:
    watched: set[int] = set()
    for line in sys.stdin:
        session = int(line[1:])
        (watched.add if line.startswith("+") else watched.discard)(session)
    for session in watched:
        kill(session)


if __name__ == "__main__":
    main()
