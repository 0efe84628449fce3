"""Kills leftover process sessions when the benchmark process dies, seen as the end of stdin.

`with` blocks clean up normally, on Ctrl-C too. This is for when no cleanup runs, as after SIGKILL.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.processes import ROOT, kill


class Guardian:
    """The benchmark's side: starts the guardian process and tells it what to watch."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.guardian"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            # so that Ctrl-C in a terminal does not reach it
            start_new_session=True,
        )

    def watch(self, session: int) -> None:
        """Kill this session if this process dies without having ended it."""
        self._send(f"+{session}")

    def forget(self, session: int) -> None:
        """Stop watching an ended session: the system may reuse its number."""
        self._send(f"-{session}")

    def close(self) -> None:
        """End the guardian process, which kills the sessions it still watches."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()


def main() -> None:
    """The guardian process."""
    watched: set[int] = set()
    for line in sys.stdin:
        session = int(line[1:])
        (watched.add if line.startswith("+") else watched.discard)(session)
    for session in watched:
        kill(session)


if __name__ == "__main__":
    main()
