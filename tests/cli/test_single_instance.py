"""One `remotejob local` at a time in a folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from remotejob.cli.exit_codes import Exit, explain
from remotejob.cli.single_instance import lock_folder, refusals_named
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


def test_full_disk_is_named_with_its_folder(tmp_path: Path) -> None:
    with (
        pytest.raises(LocalError, match=r"^/.*/local: No space left on device; .*: make room"),
        refusals_named(tmp_path / "local"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_error_that_names_its_file_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), refusals_named(tmp_path):
        (tmp_path / "photo.jpg").read_bytes()
    with pytest.raises(IsADirectoryError), refusals_named(tmp_path):
        tmp_path.read_bytes()
