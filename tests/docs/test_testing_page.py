"""The examples of docs/testing.md, as the files of a project, run by pytest on its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path("docs/testing.md").read_text()
FILES = dict(re.findall(r"^```\w+\n# ([\w./]+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
TESTS = {name: text for name, text in FILES.items() if name.startswith("tests/")}


def test_every_example_runs_and_passes(tmp_path: Path) -> None:
    project = tmp_path / "my project"
    for name, text in FILES.items():
        file = project / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=project,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    tests = sum(text.count("\ndef test_") for text in (f"\n{text}" for text in TESTS.values()))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{tests} passed" in done.stdout


def test_every_block_of_python_is_a_file_of_its_own() -> None:
    assert PAGE.count("```python\n") == len(TESTS) + 1
    assert len(TESTS) > 8
