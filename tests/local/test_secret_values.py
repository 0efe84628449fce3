"""Values of secrets on this machine, from a private file of the user's."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from remotejob import SettingsError
from remotejob.local import secret_values
from remotejob.local.errors import NotPrivate
from remotejob.settings import Settings, parse

KEY = {"parameter": "/scans/ocr-key"}
PASSWORD = {"secret": "scans/db", "key": "password"}


def settings(**secrets: dict[str, str]) -> Settings:
    return parse({"queues": {"default": {"tasks": ["work"], "secrets": secrets}}})


def write(folder: Path, text: str) -> Path:
    file = folder / secret_values.FILE
    file.write_text(text)
    return file


def refusal(folder: Path, wanted: Settings) -> str:
    with pytest.raises(SettingsError) as refused:
        secret_values.read(wanted, folder)
    message = str(refused.value)
    assert "\n" not in message
    assert "hunter2" not in message
    return message


def test_values_go_where_the_settings_say(tmp_path: Path) -> None:
    write(tmp_path, 'OCR_KEY = "k"\nDB_USER = "u"\nDB_PASSWORD = "p"\nWHOLE = "w"\nOTHER = "o"\n')
    user = {**PASSWORD, "key": "user"}
    wanted = settings(OCR_KEY=KEY, DB_USER=user, DB_PASSWORD=PASSWORD, WHOLE={"secret": "whole"})

    found = secret_values.read(wanted, tmp_path)

    assert found.parameters == {"/scans/ocr-key": "k"}
    assert json.loads(found.secrets["scans/db"]) == {"user": "u", "password": "p"}
    assert found.secrets["whole"] == "w"
    assert "'k'" not in repr(found)


def test_the_file_is_made_private(tmp_path: Path) -> None:
    file = write(tmp_path, 'OCR_KEY = "k"\n')
    file.chmod(0o644)

    secret_values.read(settings(OCR_KEY=KEY), tmp_path)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text('OCR_KEY = "k"\n')
    (tmp_path / secret_values.FILE).symlink_to(elsewhere)

    with pytest.raises(NotPrivate, match="cannot be opened"):
        secret_values.read(settings(OCR_KEY=KEY), tmp_path)


def test_without_secrets_the_file_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, "not TOML")
    assert secret_values.read(settings(), tmp_path).parameters == {}


def test_a_missing_value_names_the_secret_the_file_and_the_line(tmp_path: Path) -> None:
    file = tmp_path / secret_values.FILE
    for text in (None, 'OTHER = "hunter2"\n'):
        if text is not None:
            write(tmp_path, text)
        assert refusal(tmp_path, settings(DB_PASSWORD=PASSWORD)) == (
            "[queues.default.secrets]: DB_PASSWORD (secret scans/db, key password) has no value on"
            f' this machine: write the line DB_PASSWORD = "…" into {file}, and keep that file out'
            " of version control"
        )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("OCR_KEY = hunter2", "not TOML; write one line for each secret, such as NAME"),
        ("OCR_KEY = 4", 'OCR_KEY must be text in quotes: OCR_KEY = "…"'),
        ('OCR_KEY = ""', "OCR_KEY must be text in quotes"),
        pytest.param(f'OCR_KEY = "hunter2{"x" * 4096}"', "longer than the 4,096 bytes", id="long"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_and_not_shown(
    tmp_path: Path, text: str, told: str
) -> None:
    file = write(tmp_path, text)
    message = refusal(tmp_path, settings(OCR_KEY=KEY))
    assert message.startswith(f"{file}: ")
    assert told in message


def test_variables_of_one_place_must_agree(tmp_path: Path) -> None:
    write(tmp_path, 'A = "hunter2"\nB = "hunter22"\n')

    assert "A and B are both parameter /scans/ocr-key: give them the same value" in refusal(
        tmp_path, settings(A=KEY, B=KEY)
    )
    assert "A is the whole of secret scans/db: make it JSON with the keys password" in refusal(
        tmp_path, settings(A={"secret": "scans/db"}, B=PASSWORD)
    )
    write(tmp_path, 'A = \'{"password": "p", "user": "u"}\'\nB = "p"\n')
    found = secret_values.read(settings(A={"secret": "scans/db"}, B=PASSWORD), tmp_path)
    assert json.loads(found.secrets["scans/db"]) == {"password": "p", "user": "u"}
