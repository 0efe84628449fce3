"""docs/threat-model.md names for each answer the test that shows it, and each of them exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "threat-model.md").read_text()
ROWS: Final = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and line.count(" | ") == 3 and not line.startswith("| who ")
]
NAMED: Final = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)))


def test_the_page_has_threats() -> None:
    assert len(ROWS) > 60


def test_each_threat_names_its_test_or_says_that_nothing_stops_it() -> None:
    for _, what, answer, test in ROWS:
        unanswered = re.match(r"\**nothing|not the depth", answer, re.IGNORECASE)
        assert "`tests/" in test or unanswered, what


@pytest.mark.parametrize("name", NAMED)
def test_the_test_that_it_names_exists(name: str) -> None:
    path, _, function = name.partition("::")
    source = ast.parse((ROOT / path).read_text())
    functions = {node.name for node in ast.walk(source) if isinstance(node, ast.FunctionDef)}

    assert not function or function.partition("[")[0] in functions
