"""Functions get new code without an update of their stacks, if nothing else differs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from remotejob.local import assembly
from remotejob.local.embedded import EmbeddedAws

NEW = "f" * 64
DIRECT = "Functions/Direct"


def changed(cloud_assembly: Path, folder: Path, *, code: str, other: tuple[str, str]) -> Path:
    """A copy whose functions run other code, and in whose templates a text is replaced."""
    shutil.copytree(cloud_assembly, folder)
    (old,) = {
        asset.id
        for stack in assembly.read(cloud_assembly).stacks
        for asset in stack.assets
        if asset.zipped
    }
    for path in folder.glob("*.json"):
        path.write_text(path.read_text().replace(old, NEW).replace(*other))
    (folder / f"asset.{old}").rename(folder / f"asset.{NEW}")
    handlers = folder / f"asset.{NEW}" / "handlers.py"
    handlers.write_text(f"{handlers.read_text()}\n{code}\n")
    return folder


def answer(aws: EmbeddedAws) -> Any:
    return aws.invoke(DIRECT, {"do": "describe"})


@pytest.fixture
def new_code(cloud_assembly: Path, tmp_path: Path) -> Path:
    code = "def direct(event, context):\n    return 'new'"
    return changed(cloud_assembly, tmp_path / "new", code=code, other=("", ""))


@pytest.mark.exhaustive
def test_functions_run_new_code(aws: EmbeddedAws, cloud_assembly: Path, new_code: Path) -> None:
    before = answer(aws)

    updated = aws.update_code(new_code)
    new = answer(aws)
    again = aws.update_code(new_code)
    back = aws.update_code(cloud_assembly)

    assert updated is not None
    assert updated == back
    assert updated > 0
    assert again == 0
    assert new == "new"
    assert answer(aws).keys() == before.keys()


def test_nothing_is_updated_if_the_stacks_differ(
    aws: EmbeddedAws, cloud_assembly: Path, tmp_path: Path
) -> None:
    code = "def direct(event, context):\n    return 'new'"
    retention = ('"MessageRetentionPeriod": 1209600', '"MessageRetentionPeriod": 60')
    other = changed(cloud_assembly, tmp_path / "other", code=code, other=retention)

    assert aws.update_code(other) is None
    assert answer(aws) != "new"
