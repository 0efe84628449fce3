"""The examples of docs/testing.md, as the files of a project, run by pytest on its own."""

from __future__ import annotations

import re
from pathlib import Path

from tests.projects import pytest_in, write_files

PAGE = Path("docs/testing.md").read_text()
FILES = dict(re.findall(r"^```\w+\n# ([\w./]+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
TESTS = {name: text for name, text in FILES.items() if name.startswith("tests/")}


def test_every_example_runs_and_passes(tmp_path: Path) -> None:
    project = tmp_path / "my project"
    write_files(project, FILES)

    done = pytest_in(project, home=tmp_path)

    tests = sum(text.count("\ndef test_") for text in (f"\n{text}" for text in TESTS.values()))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{tests} passed" in done.stdout


def test_every_block_of_python_is_a_file_of_its_own() -> None:
    assert PAGE.count("```python\n") == len(TESTS) + 1
    assert len(TESTS) > 8
