"""`remotejob local` refuses to start without the values of its secrets, and shows none."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest

from remotejob.cli.exit_codes import Exit
from remotejob.cli.local.kept_assembly import digest
from remotejob.cli.local.sources import Concerns, Sources
from tests.end_to_end.commands import run

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


def test_a_changed_value_restarts_the_workers_and_synthesizes_nothing(tmp_path: Path) -> None:
    settings, file = tmp_path / "remotejob.toml", tmp_path / "secrets.local.toml"
    settings.write_text(SETTINGS)
    file.write_text('DB_PASSWORD = "hunter2"\n')
    sources = Sources.at(tmp_path, settings)
    before = digest(sources, {})

    assert sources.concerns()[PurePath(file.name)] == {Concerns.WORKERS}
    file.write_text('DB_PASSWORD = "hunter3"\n')
    assert digest(sources, {}) == before
    settings.write_text(f"{SETTINGS}\n")
    assert digest(sources, {}) != before
