"""The CDK app's own words about what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from remotejob import SettingsError
from remotejob.cli.local.synthesis import synthesize


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("error: [queues.a]: no such file", "[queues.a]: no such file"),
        ("Traceback\n  somewhere", "the CDK app failed:\nTraceback\n  somewhere"),
        ("error: one\nerror: two", "the CDK app failed:\nerror: one\nerror: two"),
    ],
)
def test_a_problem_of_the_settings_is_one_line_and_anything_else_is_all_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, told: str
) -> None:
    (tmp_path / "app.py").write_text(f"import sys\nsys.exit({said!r})\n")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SettingsError) as refused:
        synthesize(tmp_path / "remotejob.toml", tmp_path / "out")

    assert str(refused.value) == told
