"""A project as a user has one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.projects import write_files

APP = """
from pathlib import Path
from remotejob.cdk import RemoteJobSystem, WorkerImage, app_in
from infrastructure.names import NAME

with app_in(Path(__file__).resolve().parent) as app:
    RemoteJobSystem(app, NAME, settings=app.settings, worker=WorkerImage(folder=app.folder))
"""
FILES = {
    "app.py": APP,
    "cdk.json": "{}",
    "remotejob.toml": "[system]\n",
    "infrastructure/names.py": "from shared import NAME\n",
    "shared.py": "NAME = 'Jobs'\n",
    "tasks/__init__.py": "from tasks.scan import scan\n",
    "tasks/scan.py": "",
    "tasks/words.csv": "a,b\n",
    "worker_container/Dockerfile": "FROM python:3.14-slim\n",
    "photos/cat.jpg": "data of no module",
    "README.md": "how to",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "my scans"
    write_files(root, FILES)
    return root
