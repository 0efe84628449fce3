"""The files of a new project."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

NAME_IN_TEMPLATE: Final = "my-project"
"""Stands for the project's name in the files of `project/`, so that they are valid as they are."""

FILES: Final = (
    ".dockerignore",
    ".github/workflows/deploy.yml",
    ".gitignore",
    "README.md",
    "app.py",
    "cdk.json",
    "pyproject.toml",
    "remotejob.toml",
    "worker_container/Dockerfile",
    "worker_container/uv.txt",
)

EXAMPLE: Final = (
    "samples/empty.txt",
    "samples/harbour.txt",
    "tasks/__init__.py",
    "tasks/report.py",
    "tests/test_report.py",
    "tests/test_system.py",
)
"""The task to replace, and what belongs to it: a project with tasks does not get it."""


def content(name: str, project: str) -> bytes:
    """A file of a project with this name."""
    text = files(__package__).joinpath("project", name).read_bytes()
    return text.replace(NAME_IN_TEMPLATE.encode(), project.encode())
