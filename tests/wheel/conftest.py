"""The wheel, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from release.build import build
from tests.wheel.environments import pythons

collect_ignore = ["installed"]


def pytest_report_header() -> str:
    versions = [python.version for python in pythons()]
    only = " (the only one here from 3.11 on)" if len(versions) == 1 else ""
    return f"the wheel on Python {', '.join(versions)}{only}"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist")).wheel
