"""One `remotejob local` at a time in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from remotejob.cli.exit_codes import Exit, explain
from remotejob.cli.single_instance import lock_folder
from remotejob.local.errors import LocalError


def test_second_one_is_refused_in_one_line_that_names_the_first(tmp_path: Path) -> None:
    with (
        lock_folder(tmp_path / "local"),
        pytest.raises(LocalError) as refused,
        lock_folder(tmp_path / "local"),
    ):
        pass

    code, line = explain(refused.value)
    assert code == Exit.TROUBLE
    assert f"as process {os.getpid()};" in line
    assert "\n" not in line


def test_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    entered = 0
    for _ in range(2):
        with lock_folder(tmp_path):
            entered += 1

    assert entered == 2


def test_other_folder_is_free(tmp_path: Path) -> None:
    with lock_folder(tmp_path / "one"), lock_folder(tmp_path / "two"):
        assert (tmp_path / "two" / "lock").read_text() == str(os.getpid())
