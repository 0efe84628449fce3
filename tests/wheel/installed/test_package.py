"""What was installed is all there, and it is what runs."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pytest

import remotejob

HERE = Path(sys.prefix)


def modules() -> list[str]:
    return [
        each.name
        for each in pkgutil.walk_packages(remotejob.__path__, "remotejob.")
        if not each.name.endswith("__main__")
    ]


def test_the_installed_library_is_the_one_that_runs() -> None:
    assert Path(remotejob.__file__).is_relative_to(HERE)
    assert all(Path(each).is_relative_to(HERE) for each in sys.path if "site-packages" in each)


@pytest.mark.parametrize("name", remotejob.__all__)
def test_each_public_name_is_there(name: str) -> None:
    assert hasattr(remotejob, name)


@pytest.mark.parametrize("module", modules())
def test_each_module_is_imported(module: str) -> None:
    importlib.import_module(module)


def test_type_checkers_are_told_that_there_are_types() -> None:
    assert files("remotejob").joinpath("py.typed").is_file()


def test_the_client_imports_no_tools_of_others() -> None:
    program = """
import sys
import remotejob
from remotejob import RemoteJob, State, task
heavy = {"aws_cdk", "moto", "typer", "rich", "aws_lambda_powertools", "pytest"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"


def test_help_names_the_commands() -> None:
    done = subprocess.run(["remotejob", "--help"], check=True, capture_output=True, text=True)
    assert "submit" in done.stdout
    assert "local" in done.stdout


def test_the_command_says_the_version_of_the_distribution() -> None:
    done = subprocess.run(["remotejob", "--version"], check=True, capture_output=True, text=True)
    assert done.stdout == f"remotejob {version('remotejob-aws')}\n"
