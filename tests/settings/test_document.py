"""Settings that code has changed say the same as a file."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remotejob.domain.errors import SettingsError
from remotejob.settings import Settings, load, parse
from remotejob.settings.document import as_toml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path
    for path in (ROOT / "remotejob.toml", *(ROOT / "tests").rglob("*.toml"))
    if "[queues." in path.read_text()
)
ALL = """
[system]
name = "scans"
stage = "production"
readable_buckets = ["archive-of-ours"]
max_read_units = 100

[queues.default]
tasks = ["scan", "ocr"]
order = "fifo"
hooks_module = "hooks"
inputs = ["scans/"]
daily_dollars = 2.5
metrics = false
environment = { LANGUAGE = "de", QUOTED = 'a "b" \\\\ c' }
secrets.OCR_KEY = { parameter = "/scans/ocr-key" }
secrets.PASSWORD = { secret = "scans/db", key = "password" }
permissions = [{ actions = ["s3:GetObject"], resources = ["arn:aws:s3:::a/b"] }]
architecture = "arm64"
dockerfile = "docker/ocr"
ephemeral_storage_gib = 30

[[routes]]
prefix = "scans/"
suffixes = [".pdf"]
task = "scan"
tenant = "{folder}"
priority = "high"
max_per_minute = 10
data = { size = 400, deep = { list = [1, "two", 3.5, true] } }

[[routes]]
task = "ocr"
"""


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_settings_file_of_the_project_is_written_as_it_was_read(file: Path) -> None:
    settings = load(file)
    assert parse(tomllib.loads(as_toml(settings))) == settings


def test_every_key_survives() -> None:
    settings = parse(tomllib.loads(ALL))
    assert parse(tomllib.loads(as_toml(settings))) == settings


def test_settings_that_no_file_may_have_are_refused_by_place_and_value() -> None:
    settings = parse(tomllib.loads(ALL))
    queue = replace(settings.queues["default"], concurrency=0)
    wrong = Settings(system=settings.system, queues={"default": queue})
    with pytest.raises(SettingsError, match=r"\[queues\.default\].*concurrency = 0"):
        as_toml(wrong)


@pytest.mark.parametrize(
    ("data", "place"),
    [({"lan\ng": None}, r"data['lan\ng']"), ({"of": [1, None]}, "data['of'][1]")],
)
def test_what_toml_cannot_say_is_refused_and_not_left_out(data: dict[str, Any], place: str) -> None:
    settings = parse(tomllib.loads(ALL))
    route = replace(settings.routes[0], data=data)
    with pytest.raises(SettingsError, match="leave it out") as refused:
        as_toml(replace(settings, routes=(route,)))
    assert str(refused.value).startswith(f"routes[0].{place} is None")
