"""A terminal in which a reader types, and one in which a program runs on."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

PATIENCE_S: Final = 300.0


class Terminal:
    """Runs commands one after another; folder and variables stay from one to the next."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *, notes: Path) -> None:
        self.folder = folder
        self._environment = dict(environment)
        self._variables, self._folder = notes / "variables", notes / "folder"

    @property
    def environment(self) -> dict[str, str]:
        return dict(self._environment)

    def run(self, commands: str) -> tuple[int, list[str]]:
        """The status of the last command, and the lines that all printed."""
        program = (
            f"set -a\n{commands}\nended=$?\n"
            'env -0 > "$NOTES_VARIABLES"; pwd > "$NOTES_FOLDER"; exit $ended\n'
        )
        done = subprocess.run(
            ["bash", "-c", program],
            cwd=self.folder,
            env={
                **self._environment,
                "NOTES_VARIABLES": str(self._variables),
                "NOTES_FOLDER": str(self._folder),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        self.folder = Path(self._folder.read_text().removesuffix("\n"))
        pairs = (each.split("=", 1) for each in self._variables.read_text().split("\0") if each)
        self._environment = {name: value for name, value in pairs if not name.startswith("NOTES_")}
        return done.returncode, done.stdout.splitlines()


class SecondTerminal:
    """A program that runs on, and what it has printed."""

    def __init__(self, command: str, *, folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._ended = False
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, shown: Callable[[list[str]], bool]) -> None:
        """Wait until what it has printed is as wanted; fail if it ends before that."""
        deadline = time.monotonic() + PATIENCE_S
        with self._more:
            while not shown(self._lines):
                assert not self._ended, "\n".join(self._lines)
                assert self._more.wait(deadline - time.monotonic()), "\n".join(self._lines)

    def forget(self) -> None:
        """Look only at what it prints from now on."""
        with self._more:
            self._lines.clear()

    def interrupt(self) -> int:
        """Press Ctrl-C, and wait for its end; its status."""
        self._process.send_signal(signal.SIGINT)
        status = self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return status

    def kill(self) -> None:
        """End it and what it started, if it still runs."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._reader.join(PATIENCE_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as printed:
            for line in printed:
                with self._more:
                    self._lines.append(line.rstrip("\n"))
                    self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()
