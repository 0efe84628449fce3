"""`remotejob local` refuses to start without the values of its secrets, and shows none."""

from __future__ import annotations

from pathlib import Path

import pytest

from remotejob.cli.exit_codes import Exit
from tests.end_to_end.test_command_line import run

SETTINGS = """
[queues.default]
tasks = ["work"]
secrets = { DB_PASSWORD = { secret = "scans/db", key = "password" } }
"""


@pytest.mark.parametrize("content", [None, "DB_PASSWORD = hunter2\n"])
def test_a_secret_without_a_usable_value_is_one_line_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    settings = tmp_path / "remotejob.toml"
    settings.write_text(SETTINGS)
    file = tmp_path / "secrets.local.toml"
    if content is not None:
        file.write_text(content)
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())

    done = run(("local", "--settings", str(settings)), {})

    assert done.returncode == Exit.INVALID
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert str(file) in line
    assert "hunter2" not in line
    assert set(tmp_path.iterdir()) == before
