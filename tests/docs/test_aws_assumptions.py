"""docs/aws-assumptions.md names pages and tests for each behaviour, and the tests exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "aws-assumptions.md").read_text()
ROWS: Final = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| behaviour ")
]
NAMED: Final = sorted(set(re.findall(r"`(tests/[^`]+\.py[^`]*)`", PAGE)))


def test_each_behaviour_has_its_page_and_its_tests_or_says_what_is_unproven() -> None:
    assert len(ROWS) > 30
    for row in ROWS:
        what, page, tests, unproven = row
        assert page, what
        assert "`tests/" in tests or (tests == "nothing" and unproven != "nothing more"), what


@pytest.mark.parametrize("name", NAMED)
def test_the_test_that_it_names_exists(name: str) -> None:
    path, _, function = name.partition("::")
    source = ast.parse((ROOT / path).read_text())
    functions = {node.name for node in ast.walk(source) if isinstance(node, ast.FunctionDef)}

    assert not function or function in functions
