"""The tutorial's files, in short. `make test-wheel` follows the whole page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from remotejob import settings
from remotejob.cli.init.adding import make
from tests.projects import complaints, pytest_in
from tests.wheel.tutorial import Block, Ids, blocks, compare, write

PAGE = Path("docs/tutorial.md")
NOT_HERE = (
    "aws ",
    "remotejob cdk ",
    "remotejob deploy ",
    "source .venv/",
    "uv add ",
    "uv lock",
    "uv sync ",
    "uvx ",
)
"""The only commands that the test may leave out: they need a registry, Docker or an account."""


def written() -> list[Block]:
    return [block for block in blocks(PAGE) if block.language in ("python", "toml")]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project as it is at the end of the page."""
    folder = tmp_path / "my scans"
    make(folder, "scans")
    for block in written():
        write(block, folder)
    return folder


def test_every_block_is_run_but_those_that_need_the_outside() -> None:
    left_out = [block for block in blocks(PAGE) if block.order == "skip"]
    assert left_out
    for block in left_out:
        assert [line for line in block.lines if not line.startswith(NOT_HERE)] == []


def test_every_file_is_written_as_our_own(project: Path) -> None:
    names = {block.file for block in written() if block.file is not None}
    files = sorted(name for name in names if name.endswith(".py"))
    assert complaints(project, files, rules="E,F,I,UP,B,SIM,PTH") == ""


def test_its_settings_are_valid(project: Path) -> None:
    loaded = settings.load(project / "remotejob.toml")
    assert "pdf-text" in loaded.queues["default"].tasks
    assert list(loaded.queues["default"].secrets) == ["PDF_PASSWORD"]


def test_its_tests_pass(project: Path, tmp_path: Path) -> None:
    done = pytest_in(project, home=tmp_path)
    assert re.search(r"^11 passed", done.stdout, re.MULTILINE), done.stdout + done.stderr


IDS = ["01M8PH63WH9TCCNE05MNBHG10M", "01M8PHC3WJM2F5F62S7XCQJ5AV"]


def test_what_differs_from_run_to_run_is_as_good_as_the_same() -> None:
    ids = Ids()
    shown = ["total  300", "…", f"{IDS[0]}  2026-11-30 15:29:37  in 0.25 s", "…"]
    printed = ["total 300", "and more", f"{IDS[1]} 2026-12-01 01:02:03 in 1.5 s", "the end"]
    assert compare(shown, printed, ids) is None
    assert ids.in_text(f"remotejob show {IDS[0]}") == f"remotejob show {IDS[1]}"


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (["total 300"], ["total 299"]),
        (["total 300"], ["total 300", "and more"]),
        (["total 300"], ["and more", "total 300"]),
        (["total 300", "failed 1"], ["total 300"]),
        (["…", "failed 1"], ["total 300"]),
        (["one …"], ["two"]),
    ],
)
def test_anything_else_is_told(shown: list[str], printed: list[str]) -> None:
    assert compare(shown, printed, Ids()) is not None


def test_a_known_id_is_no_other() -> None:
    ids = Ids()
    assert compare([IDS[0]], [IDS[1]], ids) is None
    assert compare([IDS[0]], [IDS[0]], ids) is not None
