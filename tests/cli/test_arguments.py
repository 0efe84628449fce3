"""`--data`, as people save and type it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from remotejob import InvalidData
from remotejob.cli.arguments import parse_data, parse_seconds


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_data_in_a_file_is_read_as_any_system_saves_it(
    tmp_path: Path, encoding: str, end: str
) -> None:
    path = tmp_path / "data.json"
    path.write_bytes(f'{{"name":{end}"é"}}{end}'.encode(encoding))
    assert parse_data(f"@{path}") == {"name": "é"}


def test_data_is_read_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'\xef\xbb\xbf{"n": 1}')))
    assert parse_data("@-") == {"n": 1}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a":\n"\xe9"}', "not UTF-8.*line 2, column 2.*save the file as UTF-8"),
        (b'{"a": "\0"}', "NUL"),
        (b"{a: 1}", "the file is not JSON"),
        (b"[" * 100_000, "the file is not JSON"),
    ],
)
def test_a_file_that_is_no_json_is_refused_with_how_to_save_it(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "data.json"
    path.write_bytes(content)
    with pytest.raises(InvalidData, match=said) as refusal:
        parse_data(f"@{path}")
    assert "quote it for the shell" not in str(refusal.value)


@pytest.mark.parametrize("text", ["{a: 1}", "[" * 100_000, "x" * 5_000_000])
def test_text_that_is_no_json_is_refused_briefly(text: str) -> None:
    with pytest.raises(InvalidData, match="quote it for the shell") as refusal:
        parse_data(text)
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_seconds_that_are_no_number_are_refused(seconds: float) -> None:
    with pytest.raises(InvalidData, match=r"--delay .*use a number of seconds"):
        parse_seconds("--delay", seconds)
