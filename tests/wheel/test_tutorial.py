"""The newcomer's hour: every command and file of the page, with what is built and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wheel.environments import environment_with, pythons, run_there
from tests.wheel.terminals import PATIENCE_S, SecondTerminal, Terminal
from tests.wheel.tutorial import Block, Ids, blocks, compare, write

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
READY = "Ctrl-C takes everything down."


class Reader:
    """Follows the page, step by step."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._second: SecondTerminal | None = None
        self._ids = Ids()
        self._printed: list[str] = []

    def follow(self, block: Block) -> None:
        here = f"{PAGE.name}:{block.line}"
        match block:
            case Block(order="skip"):
                pass
            case Block(order="second terminal"):
                self._start(block)
            case Block(order="end the second terminal"):
                assert self._second is not None
                assert self._second.interrupt() == 130
                self._second = None
            case Block(order="second terminal says"):
                self._wait_for(block.lines)
            case Block(language="sh"):
                self._type(block, here)
            case Block(language="text"):
                wrong = compare(block.lines, self._printed, self._ids)
                assert wrong is None, f"{here}: {wrong}\n" + "\n".join(self._printed)
            case _:
                if self._second is not None:
                    self._second.forget()
                write(block, self._terminal.folder)

    def close(self) -> None:
        if self._second is not None:
            self._second.kill()

    def _start(self, block: Block) -> None:
        self._second = SecondTerminal(
            block.text.strip(),
            folder=self._terminal.folder,
            environment=self._terminal.environment,
        )
        self._second.wait_for(lambda lines: READY in lines)

    def _wait_for(self, expected: list[str]) -> None:
        assert self._second is not None
        wanted = ["…", *expected, "…"]
        self._second.wait_for(lambda lines: compare(wanted, lines, self._ids) is None)

    def _type(self, block: Block, here: str) -> None:
        status, self._printed = self._terminal.run(self._ids.in_text(block.text))
        wanted = int(block.order.removeprefix("exit ") or 0)
        assert status == wanted, f"{here}: ended with {status}\n" + "\n".join(self._printed)


@pytest.fixture
def reader(wheel: Path, tmp_path: Path) -> Iterator[Reader]:
    home, notes, place = tmp_path / "home", tmp_path / "notes", tmp_path / "my first hour"
    for folder in (home, notes, place):
        folder.mkdir()
    python = environment_with(
        wheel,
        tmp_path / "an environment",
        python=pythons()[0],
        extras=["local"],
        more=["pytest", "pypdf"],
    )
    environment = {
        "PATH": f"{python.parent}{os.pathsep}{os.defpath}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
    }
    reader = Reader(Terminal(place, environment, notes=notes))
    yield reader
    reader.close()


def test_the_tutorial_works_from_the_wheel(reader: Reader) -> None:
    for block in blocks(PAGE):
        reader.follow(block)


def test_a_new_project_needs_the_command_line_alone(wheel: Path, tmp_path: Path) -> None:
    python = environment_with(wheel, tmp_path / "venv", python=pythons()[0], extras=["cli"])
    done = run_there(
        python, ["-m", "remotejob", "init", "scans"], folder=tmp_path, timeout_s=PATIENCE_S
    )
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "scans" / "app.py").is_file()
